"""Objects of COCO-form files as samples, and their way through a pipeline."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS
from mmengine.runner import Runner
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from attnseg.datasets import (
    CoarseMask,
    CropToStroke,
    FlipObject,
    LoadObjectMask,
    ObjectMaskDataset,
    PackRefinement,
)
from attnseg.errors import InputError

from .objects import box_object

REPO = Path(__file__).resolve().parents[2]
Folder = Callable[..., Path]
PIPELINE = [
    {"type": "attnseg.LoadImage"},
    {"type": "attnseg.LoadObjectMask"},
    {"type": "attnseg.CoarseMask", "seed": 0},
]


def build(root: Path, **kwargs: Any) -> ObjectMaskDataset:
    return ObjectMaskDataset(
        ann_file="annotations.json",
        data_root=str(root),
        data_prefix={"img": "images"},
        **{"pipeline": PIPELINE, "min_area": 0, **kwargs},
    )


def more(content: dict[str, Any]) -> None:
    """Add objects to the second image: a crowd, one as large, and a tiny one."""
    crowd = box_object(5, 9, 3, [0, 0, 20, 18])
    mask = np.zeros((20, 30), np.uint8)
    mask[:18, :20] = 1
    counts = rle_tools.encode(np.asfortranarray(mask))
    uncompressed = [0]
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    uncompressed += np.diff([0, *edges, flat.size]).tolist()
    crowd |= {"iscrowd": 1, "segmentation": {"size": [20, 30], "counts": uncompressed}}
    coded = box_object(6, 9, 5, [1, 1, 9, 9])
    mask = np.zeros((20, 30), np.uint8)
    mask[1:10, 1:10] = 1
    counts = rle_tools.encode(np.asfortranarray(mask))["counts"].decode()
    coded["segmentation"] = {"size": [20, 30], "counts": counts}
    content["annotations"] += [crowd, coded, box_object(7, 9, 5, [12, 3, 9, 9])]
    content["annotations"].append(box_object(8, 9, 5, [28, 18, 2, 2]))


def ids(dataset: ObjectMaskDataset) -> list[Any]:
    return [dataset.get_data_info(i)["ann_id"] for i in range(len(dataset))]


def test_each_object_is_a_sample(coco_folder: Folder) -> None:
    dataset = build(coco_folder(more))
    assert ids(dataset) == [1, 2, 6, 7, 8]
    info = dataset.get_data_info(1)
    assert (info["img_id"], info["height"], info["width"]) == (7, 20, 30)
    assert (info["class_name"], info["area"], info["num_classes"]) == ("debris", 81, 2)
    assert len(info["instances"]) == 1
    sample = dataset[1]
    expected = np.zeros((20, 30), np.uint8)
    expected[4:13, 15:24] = 1
    assert (sample["gt_mask"] == expected).all()
    assert sample["seg_fields"] == ["gt_mask", "coarse_mask"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"objects": "largest"}, [2, 6]),
        ({"objects": "largest", "crowd": True}, [2, 5]),
        ({"crowd": True}, [1, 2, 5, 6, 7, 8]),
        ({"min_area": 50}, [2, 6, 7]),
        ({"min_area": 81, "objects": "largest"}, [2, 6]),
        ({"metainfo": {"classes": ("cell",)}}, [1, 6, 7, 8]),
    ],
)
def test_choices_of_objects(
    coco_folder: Folder, options: dict[str, Any], expected: list[int]
) -> None:
    assert ids(build(coco_folder(more), **options)) == expected


def test_a_fraction_is_one_of_the_images(coco_folder: Folder) -> None:
    dataset = build(coco_folder(more), fraction=0.5)
    assert ids(dataset) in ([1, 2], [6, 7, 8])


def test_images_without_objects_are_left_out(coco_folder: Folder) -> None:
    assert ids(build(coco_folder())) == [1, 2]


def test_no_object_is_said_with_what_to_do(coco_folder: Folder) -> None:
    with pytest.raises(ValueError, match=r"0 of 2 images.*min_area=1000.*lower min_area"):
        build(coco_folder(), min_area=1000)
    with pytest.raises(ValueError, match="objects must be one of all, largest"):
        build(coco_folder(), objects="some")
    with pytest.raises(ValueError, match="min_area must be 0 or more"):
        build(coco_folder(), min_area=-1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build(Path("nowhere"))


def outside(content: dict[str, Any]) -> None:
    """Objects beside the second image (20 x 30), said to be large, and one that it cuts."""
    boxes = ([300, 300, 9, 9], [30, 3, 9, 9], [3, -9, 9, 9], [0, 0, 0, 0])
    content["annotations"] += [
        box_object(number, 9, 5, box) | {"area": 5000.0} for number, box in enumerate(boxes, 20)
    ]
    content["annotations"].append(box_object(30, 9, 5, [-8, 18, 9, 9]) | {"area": 100.0})


@pytest.mark.parametrize("objects", ["all", "largest"])
def test_objects_beside_the_image_are_left_out_and_counted(
    coco_folder: Folder, objects: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "attnseg.datasets.object_masks.print_log", lambda text, **_: said.append(text)
    )
    root = coco_folder(outside)
    dataset = build(root, objects=objects)
    assert ids(dataset) == ([1, 2, 30] if objects == "all" else [2, 30])
    assert dataset[len(dataset) - 1]["gt_mask"].sum() == 2
    (line,) = said
    assert "4 objects" in line and "annotations.json" in line
    said.clear()
    build(coco_folder(), objects=objects)
    assert not said


def test_only_objects_beside_the_images_are_no_objects(coco_folder: Folder) -> None:
    def move(content: dict[str, Any]) -> None:
        for ann in content["annotations"]:
            ann["bbox"][0] += 300

    with pytest.raises(ValueError, match=r"0 of 2 images.*2 objects lie outside their image"):
        build(coco_folder(move))


def test_objects_without_ids_are_numbered(coco_folder: Folder) -> None:
    def drop(content: dict[str, Any]) -> None:
        for ann in content["annotations"]:
            del ann["id"]

    assert ids(build(coco_folder(drop))) == [0, 1]


def test_crowds_and_codes_are_decoded(coco_folder: Folder) -> None:
    dataset = build(coco_folder(more), crowd=True)
    masks = {dataset[i]["ann_id"]: dataset[i]["gt_mask"] for i in range(len(dataset))}
    assert masks[5].sum() == masks[5][:18, :20].sum() == 360
    assert masks[6].sum() == masks[6][1:10, 1:10].sum() == 81


def test_real_masks_are_those_of_pycocotools(data_root: Path | None, demo_set: Path) -> None:
    real = data_root is not None
    root = data_root / "coco_mini" if real else demo_set
    name = "instances_val2017.json" if real else "instances_val.json"
    dataset = ObjectMaskDataset(
        ann_file=f"annotations/{name}",
        data_root=str(root),
        data_prefix={"img": "val2017" if real else "images/val"},
        crowd=True,
        min_area=0,
        pipeline=[{"type": "attnseg.LoadObjectMask"}],
    )
    coco = COCO(str(root / "annotations" / name))
    assert len(dataset) == len(coco.anns)
    crowds = [i for i in range(len(dataset)) if coco.anns[ids_of(dataset, i)]["iscrowd"]]
    for index in [*range(0, len(dataset), 40), *crowds[:5]]:
        sample = dataset[index]
        assert (sample["gt_mask"] == coco.annToMask(coco.anns[sample["ann_id"]])).all()


def ids_of(dataset: ObjectMaskDataset, index: int) -> Any:
    return dataset.get_data_info(index)["ann_id"]


@pytest.mark.parametrize(
    ("segmentation", "text"),
    [
        ({"size": [5, 6], "counts": [30]}, r"object 3 of image 'a.png'.*\(5, 6\)"),
        ({"size": [20, 30], "counts": [30]}, "object 3 of image 'a.png': damaged RLE"),
        ([[1, 2, "x", 4, 5, 6]], "object 3 of image 'a.png': its polygon"),
    ],
)
def test_damaged_masks_are_named(segmentation: Any, text: str) -> None:
    results = {"img": np.zeros((20, 30, 3), np.uint8), "img_path": "a.png", "ann_id": 3}
    with pytest.raises(InputError, match=text):
        LoadObjectMask()({**results, "instances": [{"mask": segmentation}]})


def test_an_image_of_another_size_is_refused(coco_folder: Folder) -> None:
    root = coco_folder()
    cv2.imwrite(str(root / "images/a.png"), np.zeros((30, 20, 3), np.uint8))
    with pytest.raises(ValueError, match="30x20"):
        build(root)[0]


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


def demo_loader(demo_set: Path, split: str, **changes: Any) -> Any:
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/demo_refinement.py")
    loader = cfg[f"{split}_dataloader"]
    loader.dataset.data_root = str(demo_set)
    loader.update(num_workers=0, persistent_workers=False, **changes)
    return Runner.build_dataloader(loader, seed=0)


def test_validation_masks_are_the_same_in_every_run(demo_set: Path) -> None:
    first, second = (demo_loader(demo_set, "val").dataset for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert (one["data_samples"].coarse == two["data_samples"].coarse).all()
    train = demo_loader(demo_set, "train").dataset
    seen = [train[0]["data_samples"] for _ in range(4)]
    assert any((s.coarse != seen[0].coarse).any() for s in seen[1:])
    assert "gt_mask" not in seen[0]


def test_batches_keep_upright_and_lying_images_apart(tmp_path: Path, coco_folder: Folder) -> None:
    def upright(content: dict[str, Any]) -> None:
        content["images"][1].update(height=30, width=20)
        content["annotations"] += [box_object(3, 9, 5, [1, 2, 10, 20])]
        content["annotations"] += [box_object(4, 9, 5, [3, 4, 10, 20])]

    root = coco_folder(upright)
    cv2.imwrite(str(root / "images/b.png"), np.zeros((30, 20, 3), np.uint8))
    loader = demo_loader(
        root,
        "train",
        batch_size=2,
        dataset={
            "type": "attnseg.ObjectMaskDataset",
            "data_root": str(root),
            "ann_file": "annotations.json",
            "data_prefix": {"img": "images"},
            "min_area": 0,
            "pipeline": [*PIPELINE, {"type": "attnseg.PackRefinement"}],
        },
    )
    shapes = set()
    for _, batch in zip(range(8), loader, strict=False):
        assert len({tuple(image.shape) for image in batch["inputs"]}) == 1
        shapes.add(tuple(batch["inputs"][0].shape))
    assert shapes == {(3, 20, 30), (3, 30, 20)}


def test_the_published_set_is_the_largest_object_of_each_image(data_root: Path | None) -> None:
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/coco_refinement.py")
    assert cfg.train_pipeline[2].mode == "erode" and "seed" not in cfg.train_pipeline[2]
    assert cfg.test_pipeline[2].seed == 0
    if data_root is None:
        return
    loader = cfg.val_dataloader
    loader.dataset.data_root = str(data_root / "coco_mini")
    dataset = DATASETS.build(loader.dataset)
    content = json.loads(Path(dataset.ann_file).read_text(encoding="utf-8"))
    largest: dict[int, float] = {}
    for ann in content["annotations"]:
        largest[ann["image_id"]] = max(ann["area"], largest.get(ann["image_id"], 0))
    found = {i["img_id"]: i["area"] for i in map(dataset.get_data_info, range(len(dataset)))}
    assert found == largest


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
