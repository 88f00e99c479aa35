"""Encoding: against OpenCV and scipy, padding, replaced masks, blanked images, bad samples."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from scipy import ndimage

from attnseg.errors import InputError
from attnseg.mask_refine import RefinementPreprocessor
from tests.mask_refine.samples import packed

ALL = ("coarse", "gray", "gradient", "rgb", "distance", "add", "remove")


def published(image: torch.Tensor) -> np.ndarray:
    """Gray and gradient as the published code has them, from uint8 BGR (3, h, w)."""
    gray = cv2.cvtColor(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), cv2.COLOR_BGR2GRAY)
    gx, gy = (cv2.Sobel(gray, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    magnitude = np.sqrt(gx**2 + gy**2)
    return np.stack([gray / 255, magnitude / (magnitude.max() + 1e-8)])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (61, 37)])
def test_image_channels_are_those_of_opencv(size: tuple[int, int]) -> None:
    batch = packed([size])
    features = RefinementPreprocessor()(batch)["inputs"]["features"]
    assert features.shape == (1, 3, *size) and features.dtype == torch.float32
    np.testing.assert_allclose(features[0, 1:], published(batch["inputs"][0]), atol=3e-7)
    gray = (features[0, 1] * 255).round().to(torch.uint8)
    assert torch.equal(gray / 255, features[0, 1])
    assert torch.equal(features[0, 0], batch["data_samples"][0].coarse.float())


def test_gray_of_a_real_image(data_root: Path | None, request: pytest.FixtureRequest) -> None:
    if data_root:
        folder = data_root / "coco_mini/val2017"
    else:
        folder = request.getfixturevalue("demo_set") / "images/val"
    path = sorted(folder.iterdir())[0]
    image = torch.from_numpy(cv2.imread(str(path))).permute(2, 0, 1)
    batch = packed([tuple(image.shape[1:])])
    batch["inputs"] = [image]
    features = RefinementPreprocessor()(batch)["inputs"]["features"]
    np.testing.assert_allclose(features[0, 1:], published(image), atol=3e-7)


def test_even_image_has_no_gradient() -> None:
    batch = packed([(5, 6)])
    batch["inputs"] = [torch.full((3, 5, 6), 200, dtype=torch.uint8)]
    features = RefinementPreprocessor(channels=("gradient", "gray"))(batch)["inputs"]["features"]
    assert (features[0, 0] == 0).all()
    torch.testing.assert_close(features[0, 1], torch.full((5, 6), 200 / 255))


def test_rgb_and_distance_and_strokes() -> None:
    batch = packed([(20, 30)])
    image, sample = batch["inputs"][0], batch["data_samples"][0]
    sample.add = torch.zeros(20, 30, dtype=torch.bool)
    sample.add[3, 4] = True
    processor = RefinementPreprocessor(channels=ALL, distance_scale=4)
    assert processor.num_channels == 9
    f = processor(batch)["inputs"]["features"][0]
    rgb = image.flip(0).permute(1, 2, 0).numpy() / 255
    wanted = (rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(f[3:6].permute(1, 2, 0), wanted, atol=1e-5)
    coarse = sample.coarse.numpy()
    inside, outside = (ndimage.distance_transform_edt(m) - 0.5 for m in (coarse, ~coarse))
    wanted = np.clip(np.where(coarse, inside, -outside) / 4, -1, 1)
    np.testing.assert_allclose(f[6], wanted, atol=1e-5)
    assert f[7].sum() == f[7, 3, 4] == 1 and f[8].sum() == 0


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks(value: bool) -> None:
    batch = packed([(7, 8)])
    batch["data_samples"][0].coarse[:] = value
    processor = RefinementPreprocessor(channels=("coarse", "distance"))
    f = processor(batch)["inputs"]["features"][0]
    assert (f[0] == float(value)).all() and (f[1] == (1 if value else -1)).all()


def test_padding_changes_no_value_and_is_not_valid() -> None:
    sizes = [(13, 21), (18, 9)]
    processor = RefinementPreprocessor(channels=ALL, pad_size_divisor=8)
    out = processor(packed(sizes))
    features, valid = out["inputs"]["features"], out["inputs"]["valid"]
    assert features.shape == (2, 9, 24, 24)
    assert valid.shape == (2, 1, 24, 24) and valid.dtype == torch.bool
    both = packed(sizes)
    for i, (height, width) in enumerate(sizes):
        alone = {key: values[i : i + 1] for key, values in both.items()}
        wanted = RefinementPreprocessor(channels=ALL)(alone)["inputs"]["features"]
        torch.testing.assert_close(features[i : i + 1, :, :height, :width], wanted)
        assert valid[i].sum() == height * width and valid[i, 0, :height, :width].all()
    assert (features.masked_select(~valid) == 0).all()


def test_replaced_masks_are_those_of_new_samples() -> None:
    processor = RefinementPreprocessor(channels=ALL)
    before, after = packed([(13, 21), (18, 9)]), packed([(13, 21), (18, 9)])
    for sample in after["data_samples"]:
        sample.coarse = sample.target.roll(2, 0)
        sample.add, sample.remove = sample.target.roll(3, 1), sample.target.roll(-2, 1)
    inputs, wanted = (processor(batch)["inputs"] for batch in (before, after))
    masks = [wanted["features"][:, i : i + 1] for i in (0, 7, 8)]
    kept = inputs["features"].clone()
    got = processor.replace_masks(inputs["features"], *masks, valid=inputs["valid"])
    torch.testing.assert_close(got, wanted["features"])
    assert torch.equal(inputs["features"], kept)
    only = processor.replace_masks(kept, add=masks[1] > 0)
    assert torch.equal(only[:, :7], kept[:, :7]) and torch.equal(only[:, 8:], kept[:, 8:])
    assert torch.equal(only[:, 7:8], masks[1])
    # What a network paints into the padding does not come back.
    loud = processor.replace_masks(
        kept, torch.ones_like(masks[0]), torch.ones_like(masks[0]), valid=inputs["valid"]
    )
    assert (loud.masked_select(~inputs["valid"]) == 0).all()


def test_blank_image_keeps_the_masks_alone() -> None:
    seen, blank = (
        RefinementPreprocessor(channels=ALL, blank_image=b)(packed([(9, 11)]))["inputs"]["features"]
        for b in (False, True)
    )
    assert (blank[:, 1:6] == 0).all() and (seen[:, 1:6] != 0).any()
    assert torch.equal(blank[:, [0, 6, 7, 8]], seen[:, [0, 6, 7, 8]])


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": ("coarse", "grey")},
        {"channels": ("coarse", "coarse")},
        {"channels": ()},
        {"distance_scale": 0},
        {"pad_size_divisor": 0},
    ],
)
def test_bad_settings(settings: dict) -> None:
    with pytest.raises(ValueError, match="channels|positive"):
        RefinementPreprocessor(**settings)


def test_bad_samples_are_named() -> None:
    batch = packed([(6, 7)])
    del batch["data_samples"][0].coarse
    with pytest.raises(InputError, match=r"image_0\.jpg.*no coarse mask.*CoarseMask"):
        RefinementPreprocessor()(batch)
    batch = packed([(6, 7)])
    batch["data_samples"][0].add = torch.zeros(7, 6, dtype=torch.bool)
    with pytest.raises(InputError, match=r"'add' of 'image_0\.jpg' has \(7, 6\)"):
        RefinementPreprocessor()(batch)
    batch = packed([(6, 7)])
    batch["inputs"] = [batch["inputs"][0].float()]
    with pytest.raises(InputError, match=r"uint8 \(3, h, w\).*float32"):
        RefinementPreprocessor()(batch)


def test_relative_distance_tells_the_size_of_the_crop():
    processor = RefinementPreprocessor(channels=("coarse", "distance"), relative_distance=0.04)
    coarse = torch.zeros(40, 40, dtype=torch.bool)
    coarse[:, :20] = True
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    samples = [
        BaseDataElement(coarse=coarse, metainfo={"ori_shape": (480, 640), "crop_box": box})
        for box in ((0, 0, 40, 40), (-20, 10, 60, 90), None)
    ]
    samples[2].set_metainfo({"ori_shape": (40, 40)})
    inputs = processor({"inputs": [image] * 3, "data_samples": samples})["inputs"]
    # 4 % of the diagonal of 800 pixels, of which the second crop shows every other one.
    reach = torch.tensor([32.0, 16.0, 0.04 * 40 * 2**0.5])
    assert torch.allclose(inputs["reach"].flatten(), reach)
    depth = torch.arange(19.5, -20, -1)
    for row, end in zip(inputs["features"][:, 1, 7], reach, strict=True):
        torch.testing.assert_close(row, (depth / end).clamp(-1, 1))
    again = processor.replace_masks(
        inputs["features"], coarse=coarse.expand(3, 1, 40, 40), reach=inputs["reach"]
    )
    assert torch.equal(again, inputs["features"])
    with pytest.raises(ValueError, match="share of the image's diagonal"):
        RefinementPreprocessor(relative_distance=32)
