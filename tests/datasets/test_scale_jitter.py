"""attnseg.ScaleJitter and attnseg.CheckSample."""

import cv2
import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from attnseg.datasets import CheckSample, ScaleJitter


def sample(size=(40, 60), channels=3, objects=4):
    """A sample whose first channel repeats the segmentation map, and its masks the objects."""
    rng = np.random.default_rng(1)
    seg = np.full(size, objects, np.uint8)
    masks, boxes = [], []
    for label in range(objects):
        y, x = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
        seg[y : y + 8, x : x + 8] = label
    for label in range(objects):
        mask = (seg == label).astype(np.uint8)
        masks.append(mask)
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return {
        "img_path": "a.png",
        "img": np.repeat(seg[..., None], channels, axis=2),
        "img_shape": size,
        "ori_shape": size,
        "gt_seg_map": seg,
        "gt_masks": BitmapMasks(masks, *size),
        "gt_bboxes": HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        "gt_bboxes_labels": np.arange(objects),
        "gt_ignore_flags": np.zeros(objects, bool),
        "seg_map_path": "labels/a.png",
    }


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (97, 131)])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("ratio", [(0.5, 0.5), (1.0, 1.0), (2.0, 2.0), (0.8, 1.25)])
def test_all_parts_keep_together(size, channels, ratio):
    np.random.seed(0)
    jitter = ScaleJitter(size, ratio, interpolation="nearest", pad_val=255)
    results = jitter.transform(sample(channels=channels))
    image = results["img"] if results["img"].ndim == 3 else results["img"][..., None]
    assert image.shape == (*size, channels)
    assert results["pad_shape"] == results["gt_seg_map"].shape == size
    # Nearest neighbour, padding by 255 in both: the image is the map in every channel.
    for channel in range(channels):
        np.testing.assert_array_equal(image[..., channel], results["gt_seg_map"])
    masks = results["gt_masks"]
    assert masks.masks.shape == (len(results["gt_bboxes"]), *size)
    for mask, label, box in zip(
        masks.masks,
        results["gt_bboxes_labels"],
        results["gt_bboxes"].tensor.numpy(),
        strict=True,
    ):
        np.testing.assert_array_equal(mask, results["gt_seg_map"] == label)
        rows, columns = np.nonzero(mask)
        np.testing.assert_array_equal(
            box, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        )


def test_smaller_scale_is_padded_with_void():
    results = ScaleJitter((64, 64), (0.5, 0.5)).transform(sample())
    assert (results["gt_seg_map"][32:] == 255).all() and (
        results["gt_seg_map"][:, 32:] == 255
    ).all()
    assert not results["img"][32:].any()
    assert (results["gt_seg_map"][:32, :32] != 255).all()


@pytest.mark.parametrize("size", [(40, 60), (61, 37), (60, 60)])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.5])
def test_kept_ratio_is_that_of_the_longest_side(size, channels, ratio):
    np.random.seed(0)
    jitter = ScaleJitter((48, 48), (ratio, ratio), interpolation="nearest", keep_ratio=True)
    results = jitter.transform(sample(size, channels))
    factor = int(48 * ratio) / max(size)
    shape = tuple(min(48, round(side * factor)) for side in size)
    assert results["img_shape"] == shape
    assert results["scale_factor"] == pytest.approx((factor, factor), abs=0.5 / min(size))
    image = results["img"] if results["img"].ndim == 3 else results["img"][..., None]
    assert image.shape == (48, 48, channels)
    for channel in range(channels):
        seen = image[: shape[0], : shape[1], channel]
        np.testing.assert_array_equal(seen, results["gt_seg_map"][: shape[0], : shape[1]])
    assert not image[shape[0] :].any() and not image[:, shape[1] :].any()
    for mask, label in zip(results["gt_masks"].masks, results["gt_bboxes_labels"], strict=True):
        assert mask.any()
        np.testing.assert_array_equal(mask, results["gt_seg_map"] == label)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_without_padding_the_image_fills_the_result(ratio):
    results = ScaleJitter((48, 96), (ratio, ratio), keep_ratio=True, pad=False).transform(sample())
    # 40x60 pixels: half and twice of 48x72.
    size = (24, 36) if ratio < 1 else (48, 96)
    assert results["img"].shape[:2] == results["img_shape"] == size
    assert results["gt_masks"].masks.shape[1:] == results["gt_seg_map"].shape == size
    assert "pad_shape" not in results


def test_objects_cropped_away_are_removed():
    np.random.seed(0)
    counts = {
        len(ScaleJitter((16, 16), (6.0, 6.0)).transform(sample())["gt_masks"]) for _ in range(20)
    }
    assert min(counts) < 4


def test_sample_without_objects_stays():
    results = ScaleJitter((32, 32)).transform(sample(objects=0))
    assert results["gt_masks"].masks.shape == (0, 32, 32)
    assert len(results["gt_bboxes"]) == 0


def test_semantic_sample_without_masks():
    seg_only = {k: v for k, v in sample().items() if k in ("img", "img_shape", "gt_seg_map")}
    results = ScaleJitter((33, 47)).transform(seg_only)
    assert results["img"].shape == (33, 47, 3)
    assert results["gt_seg_map"].shape == (33, 47)


def test_good_sample_passes_and_labels_outside_do_not():
    good = sample()
    assert CheckSample(num_classes=5).transform(good) is good
    with pytest.raises(ValueError, match=r"objects of image 'a.png' holds? labels 3") as caught:
        CheckSample(num_classes=3).transform({**good, "gt_seg_map": None})
    assert "num_classes=3" in str(caught.value)
    with pytest.raises(ValueError, match=r"'labels/a.png' holds labels 2, 3, 4, outside .*0..1"):
        CheckSample(num_classes=2).transform(good)


def test_number_of_classes_comes_with_the_sample():
    with pytest.raises(ValueError, match="num_classes=4"):
        CheckSample().transform({**sample(), "num_classes": 4})


def test_masks_of_another_size_than_the_image():
    wrong = {**sample(), "gt_masks": BitmapMasks([np.zeros((60, 40), np.uint8)], 60, 40)}
    with pytest.raises(ValueError, match=r"'a.png' is 40x60 .*its masks is 60x40"):
        CheckSample().transform(wrong)


def test_map_of_another_size_than_the_image():
    wrong = {**sample(), "gt_seg_map": cv2.resize(sample()["gt_seg_map"], (40, 60))}
    with pytest.raises(ValueError, match=r"'a.png' is 40x60 .*'labels/a.png' is 60x40"):
        CheckSample().transform(wrong)


@pytest.mark.parametrize("size", [(40, 60), (97, 31)])
def test_native_multiples_are_of_the_image_not_of_the_result(size):
    jitter = ScaleJitter((200, 300), ratio_range=(2, 2), keep_ratio=True, native=True)
    for shape in (size, (20, 20), size):
        done = jitter(sample(shape, objects=1))
        assert done["img_shape"] == (2 * shape[0], 2 * shape[1])
        assert done["img"].shape[:2] == (200, 300)
