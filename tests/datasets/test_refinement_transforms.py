"""Transforms of single objects: coarse masks, flips, crops around strokes, packing."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS

from attnseg.datasets import (
    CoarseMask,
    CropToStroke,
    FlipObject,
    LoadObjectMask,
    PackRefinement,
)
from attnseg.errors import InputError


def object_sample(seed: int = 0, size: tuple[int, int] = (90, 120)) -> dict[str, Any]:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random(size), (0, 0), 12)
    mask = (noise > np.quantile(noise, 0.8)).astype(np.uint8)
    img = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return {"img": img, "gt_mask": mask, "img_id": 4, "ann_id": 9, "ori_shape": size}


def test_seeded_masks_depend_on_seed_and_object_alone() -> None:
    def draw(seed: int | None, **changes: Any) -> np.ndarray:
        return CoarseMask(seed=seed)({**object_sample(), **changes})["coarse_mask"]

    np.random.seed(0)
    first = draw(1)
    np.random.seed(5)
    assert (draw(1) == first).all()
    for other in (draw(2), draw(1, ann_id=8), draw(1, img_id=5), draw(None)):
        assert (other != first).any()
    assert (draw(None) != draw(None)).any()
    np.random.seed(5)
    second = draw(None)
    np.random.seed(5)
    assert (draw(None) == second).all()


def test_one_mode_by_weight_is_that_mode() -> None:
    plain = CoarseMask("jitter", seed=0)(object_sample())["coarse_mask"]
    weighed = CoarseMask({"jitter": 3.0}, seed=0)(object_sample())["coarse_mask"]
    assert (plain == weighed).all()
    assert CoarseMask("mix").weights.keys() == {"erode", "dilate", "paintbrush", "jitter"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mode": "scribble"}, "the modes are erode, dilate, paintbrush, jitter"),
        ({"mode": {"erode": -1.0}}, "must be 0 or more"),
        ({"mode": {}}, "the modes are"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_wrong_modes_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        CoarseMask(**options)


def test_given_strokes_are_left_alone() -> None:
    sample = {**object_sample(), "coarse_mask": np.ones((90, 120), np.uint8)}
    assert CoarseMask()(sample)["coarse_mask"].all()
    bare = {"img": np.zeros((3, 4, 3), np.uint8)}
    assert CoarseMask()(LoadObjectMask()(dict(bare))).keys() == {"img"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"horizontal": 1.0}, lambda a: a[:, ::-1]),
        ({"horizontal": 0.0, "vertical": 1.0}, lambda a: a[::-1]),
        ({"horizontal": 0.0, "turn": 1.0}, lambda a: a.swapaxes(0, 1)),
        ({"horizontal": 1.0, "turn": 1.0}, lambda a: np.rot90(a)),
        ({"horizontal": 0.0}, lambda a: a),
    ],
)
def test_flips_move_image_and_masks_alike(
    options: dict[str, float], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    before = CoarseMask(seed=0)(object_sample()) | {"add": np.eye(90, 120, dtype=np.uint8)}
    after = FlipObject(**options)(dict(before))
    for key in ("img", "gt_mask", "coarse_mask", "add"):
        assert (after[key] == expected(before[key])).all()
        assert after[key].flags.c_contiguous
    assert after["ori_shape"] == after["img_shape"] == after["img"].shape[:2]


def test_flips_of_a_crop_are_refused() -> None:
    with pytest.raises(ValueError, match="in front of"):
        FlipObject()({"img": np.zeros((2, 2, 3)), "crop_box": (0, 0, 2, 2)})


def test_photometric_distortion_and_flips_of_the_libraries_fit_in() -> None:
    sample = CoarseMask(seed=0)(LoadObjectMask()({**object_sample(), "seg_fields": ["gt_mask"]}))
    before = {key: sample[key].copy() for key in ("img", "gt_mask", "coarse_mask")}
    flipped = TRANSFORMS.build({"type": "mmseg.RandomFlip", "prob": 1.0})(dict(sample))
    for key, value in before.items():
        assert (flipped[key] == value[:, ::-1]).all()
    distorted = TRANSFORMS.build({"type": "mmdet.PhotoMetricDistortion"})(
        {**sample, "img": sample["img"].astype(np.float32)}
    )
    assert (distorted["gt_mask"] == before["gt_mask"]).all()


def cropped(coarse: np.ndarray, size: tuple[int, int] = (64, 64), **options: Any) -> dict[str, Any]:
    img = np.random.default_rng(0).integers(1, 256, (*coarse.shape, 3), np.uint8)
    return CropToStroke(size=size, **options)({"img": img, "coarse_mask": coarse})


def test_the_window_of_a_crop() -> None:
    coarse = np.zeros((300, 400), np.uint8)
    coarse[100:140, 200:300] = 1
    found = cropped(coarse)
    # 100 wide with margins of 32 (a quarter would be 25), square around the middle.
    assert found["crop_box"] == (168, 38, 332, 202)
    assert cropped(coarse, margin=0.5)["crop_box"] == (150, 20, 350, 220)
    assert cropped(coarse, keep_ratio=False)["crop_box"] == (168, 68, 332, 172)
    assert cropped(coarse, (32, 64))["crop_box"] == (146, 68, 354, 172)
    assert found["img"].shape == (64, 64, 3) and found["img_shape"] == (64, 64)
    assert found["coarse"].shape == (64, 64) and found["coarse_mask"].shape == (300, 400)


def test_an_unscaled_crop_is_the_image_itself() -> None:
    coarse = np.zeros((60, 80), np.uint8)
    coarse[2:12, 70:80] = 1
    found = cropped(coarse, (40, 40), margin=0, min_margin=15)
    x0, y0, x1, y1 = found["crop_box"]
    assert (x0, y0, x1, y1) == (55, -13, 95, 27)
    img = np.random.default_rng(0).integers(1, 256, (60, 80, 3), np.uint8)
    assert (found["img"][13:, :25] == img[:27, 55:]).all()
    # Beyond the image.
    assert not found["img"][:13].any() and not found["img"][:, 25:].any()
    assert (found["coarse"][13:, :25] == coarse[:27, 55:]).all()
    assert found["coarse"].sum() == 100


def test_an_empty_stroke_takes_the_whole_image() -> None:
    found = cropped(np.zeros((50, 100), np.uint8))
    assert found["crop_box"] == (0, -25, 100, 75)
    assert not found["coarse"].any()
    added = np.zeros((300, 400), np.uint8)
    added[10:20, 10:20] = 1
    sample = {"img": np.zeros((300, 400, 3), np.uint8), "coarse_mask": added * 0, "add": added}
    assert CropToStroke()(sample)["crop_box"] == (-22, -22, 52, 52)


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
@pytest.mark.parametrize("keep_ratio", [True, False])
def test_a_jittered_window_holds_the_stroke(size: tuple[int, int], keep_ratio: bool) -> None:
    np.random.seed(0)
    coarse = np.zeros((200, 260), np.uint8)
    coarse[20:90, 200:260] = 1
    boxes = set()
    for _ in range(60):
        found = cropped(coarse, size, jitter=0.6, keep_ratio=keep_ratio)
        x0, y0, x1, y1 = found["crop_box"]
        assert x0 <= 200 and y0 <= 20 and x1 >= 260 and y1 >= 90
        if keep_ratio:
            assert (x1 - x0) / (y1 - y0) == pytest.approx(size[1] / size[0], abs=0.02)
        boxes.add(found["crop_box"])
    assert len(boxes) > 50
    assert len({x1 - x0 for x0, _, x1, _ in boxes}) > 20


def test_thin_strokes_survive_a_crop() -> None:
    coarse = np.zeros((400, 400), np.uint8)
    coarse[10:390, 10:390] = 1
    stroke = np.zeros_like(coarse)
    stroke[200, 50:350] = 1
    sample = {"img": np.zeros((400, 400, 3), np.uint8), "coarse_mask": coarse, "gt_mask": coarse}
    found = CropToStroke((32, 32))({**sample, "add": stroke, "remove": stroke.T})
    assert 15 <= found["add"].sum() <= 40
    assert (found["remove"] == found["add"].T).all()
    assert abs(found["target"].mean() - found["coarse"].mean()) == 0


def test_bad_crops_are_refused() -> None:
    with pytest.raises(InputError, match="'x.png' has no 'coarse_mask'"):
        CropToStroke()({"img": np.zeros((3, 3, 3)), "img_path": "x.png"})
    for options in ({"size": (0, 3)}, {"margin": -1}, {"jitter": 1.0}):
        with pytest.raises(ValueError, match="CropToStroke"):
            CropToStroke(**options)


def test_packing() -> None:
    sample = CoarseMask(seed=0)(object_sample())
    packed = PackRefinement(keep_masks=True)(dict(sample))
    data = packed["data_samples"]
    assert packed["inputs"].dtype == torch.uint8
    assert (packed["inputs"].numpy().transpose(1, 2, 0) == sample["img"]).all()
    assert set(data.keys()) == {"coarse", "target", "coarse_mask", "gt_mask"}
    for key, source in (("coarse", "coarse_mask"), ("target", "gt_mask")):
        assert data.get(key).dtype == torch.bool
        assert (data.get(key).numpy() == sample[source]).all()
    assert data.metainfo == {
        "img_id": 4,
        "ann_id": 9,
        "ori_shape": (90, 120),
        "img_shape": (90, 120),
        "crop_box": None,
    }
    crop = PackRefinement(keep_masks=True)(CropToStroke((32, 48))(dict(sample)))["data_samples"]
    assert crop.coarse.shape == crop.target.shape == (32, 48) == crop.img_shape
    assert crop.gt_mask.shape == (90, 120) and len(crop.crop_box) == 4
    bare = PackRefinement()({"img": sample["img"], "coarse_mask": sample["coarse_mask"]})
    assert set(bare["data_samples"].keys()) == {"coarse"}


def test_packing_rounds_deep_images_and_refuses_other_channels() -> None:
    sample = CoarseMask(seed=0)(object_sample())
    deep = np.full((90, 120, 3), 254.6, np.float32)
    assert (PackRefinement()({**sample, "img": deep})["inputs"] == 255).all()
    with pytest.raises(InputError, match="three channels"):
        PackRefinement()({**sample, "img": deep[..., :1]})
    with pytest.raises(InputError, match="'gt_mask' of image 'a.png' is 90x120"):
        PackRefinement()({**sample, "img": deep[1:], "img_path": "a.png"})
    with pytest.raises(InputError, match="has no 'coarse_mask'"):
        PackRefinement()({"img": deep})


@pytest.mark.parametrize("radius", [20, 75, 300])
def test_a_crop_comes_back_to_its_place(radius: int) -> None:
    """A disc through CropToStroke and back: neither moved nor deformed."""
    rows, cols = np.ogrid[:700, :900]
    disc = ((rows - 371) ** 2 + (cols - 402) ** 2 <= radius**2).astype(np.uint8)
    results = {"img": np.zeros((700, 900, 3), np.uint8), "coarse_mask": disc, "gt_mask": disc}
    crop = CropToStroke(size=(160, 160), margin=0.25, min_margin=48)(results)
    left, top, right, bottom = crop["crop_box"]
    back = torch.nn.functional.interpolate(
        torch.from_numpy(crop["target"])[None, None].float() - 0.5,
        (bottom - top, right - left),
        mode="bilinear",
    )
    mask = np.zeros((1400, 1800), bool)
    mask[top + 350 : bottom + 350, left + 450 : right + 450] = back[0, 0].numpy() > 0
    mask = mask[350:1050, 450:1350]
    assert (mask & (disc > 0)).sum() / (mask | (disc > 0)).sum() > 0.97
    shift = np.argwhere(mask).mean(0) - np.argwhere(disc).mean(0)
    assert np.abs(shift).max() < 0.15


@pytest.mark.parametrize(
    ("side", "size"), [(20, 64), (40, 64), (70, 96), (90, 128), (140, 160), (400, 160)]
)
def test_larger_windows_keep_their_pixels_up_to_a_limit(side: int, size: int) -> None:
    results = {"img": np.zeros((500, 500, 3), np.uint8)}
    results["coarse_mask"] = np.zeros((500, 500), np.uint8)
    results["coarse_mask"][50 : 50 + side, 50 : 50 + side] = 1
    crop = CropToStroke(size=(64, 64), margin=0.25, min_margin=10, max_size=(160, 160))
    found = crop(dict(results, gt_mask=results["coarse_mask"]))
    left, _, right, _ = found["crop_box"]
    assert right - left == side + 2 * max(10, -(-side // 4))
    shapes = {found[key].shape[:2] for key in ("img", "coarse", "target")}
    assert shapes == {(size, size)} == {found["img_shape"]}
    with pytest.raises(ValueError, match="max_size .* must not be below size"):
        CropToStroke(size=(64, 64), max_size=(160, 63))


def test_strokes_keep_their_own_pixels_beside_the_crop() -> None:
    results = {"img": np.zeros((300, 300, 3), np.uint8)}
    results["coarse_mask"] = np.zeros((300, 300), np.uint8)
    results["coarse_mask"][50:250, 50:250] = 1
    results["add"] = np.zeros((300, 300), np.uint8)
    results["add"][101, 103:105] = 1
    given = results["add"].copy()
    crop = CropToStroke(size=(64, 64))(results)
    sample = PackRefinement()({**crop, "img_path": "a.png"})["data_samples"]
    assert sample.add.shape == (64, 64) and sample.add.any()
    np.testing.assert_array_equal(sample.add_mask.numpy(), given > 0)
    assert "remove_mask" not in sample
