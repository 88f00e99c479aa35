"""Images of any depth and number of channels become RGB of 8 bits."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from attnseg.engine.display import to_rgb, with_masks


def test_channels_have_their_colours() -> None:
    pixel = np.array([[[10, 200, 30, 40, 70]]], np.uint8)
    assert to_rgb(pixel[..., 0]).tolist() == to_rgb(pixel[..., :1]).tolist() == [[[10, 10, 10]]]
    # Magenta and green.
    assert to_rgb(pixel[..., :2]).tolist() == [[[10, 200, 10]]]
    assert to_rgb(pixel[..., :3]).tolist() == [[[10, 200, 30]]]
    assert to_rgb(pixel[..., :3], bgr=True).tolist() == [[[30, 200, 10]]]
    assert to_rgb(pixel).tolist() == [[[70, 70, 70]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.0, 12.4, 255.0], np.float32), [0, 12, 255]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
        (np.array([1000, 3000, 5000], np.uint16), [0, 128, 255]),
        (np.array([0, 1, 1], np.uint16), [0, 1, 1]),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([np.nan, 300.0, 300.0]), [0, 0, 0]),
        (np.array([np.inf, 0.0, 400.0]), [0, 0, 255]),
        (np.full(3, np.nan), [0, 0, 0]),
    ],
)
def test_ranges(values: np.ndarray, expected: list[int]) -> None:
    assert to_rgb(values[None])[0, :, 1].tolist() == expected


def test_what_is_no_picture_is_refused() -> None:
    for shape in ((3,), (0, 4, 3), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match=r"needs pixels \(H, W\)"):
            to_rgb(np.zeros(shape))


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.int32]),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6)),
    )
)
def test_any_image_gives_rgb(image: np.ndarray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        shown = to_rgb(image)
    assert shown.shape == (*image.shape[:2], 3) and shown.dtype == np.uint8


def solo_sample(masks: np.ndarray, boxes: torch.Tensor | None, rle: bool) -> DetDataSample:
    """Predictions as SOLOv2 gives them, with boxes of zeros or none."""
    found = InstanceData(scores=torch.full((len(masks),), 0.9), labels=torch.arange(len(masks)) % 2)
    if boxes is not None:
        found.bboxes = boxes
    if rle:
        found.masks = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    else:
        found.masks = torch.from_numpy(masks)
    sample = DetDataSample()
    sample.pred_instances = found
    return sample


@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (5, 9)])
def test_empty_masks_without_boxes_are_drawn_as_nothing(
    size: tuple[int, int], boxed: bool, rle: bool
) -> None:
    canvas = DetLocalVisualizer(name=f"empty_{size}_{boxed}_{rle}")
    canvas.dataset_meta = {"classes": ("a", "b"), "palette": [(200, 0, 0), (0, 200, 0)]}
    masks = np.zeros((3, *size), bool)
    image = np.full((*size, 3), 7, np.uint8)
    for filled in ([], [1]):
        masks[filled] = True
        sample = solo_sample(masks, torch.zeros(3, 4) if boxed else None, rle)
        shown = with_masks(sample, 0.3, size)
        # Names go to the masks that are left, and what is evaluated stays as it was.
        assert shown.pred_instances.labels.tolist() == filled
        assert len(sample.pred_instances) == 3
        canvas.add_datasample("x", image, shown, draw_gt=False)
        assert canvas.get_image().shape == image.shape


def test_an_empty_mask_in_a_box_is_kept_for_its_box() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 3], [0, 0, 0, 0], [0, 0, 0, 0]])
    masks = np.zeros((3, 5, 9), bool)
    masks[2, 1, 1] = True
    found = with_masks(solo_sample(masks, boxes, rle=False), 0.3, (5, 9)).pred_instances
    assert found.labels.tolist() == [0, 0] and found.bboxes.tolist() == boxes[[0, 2]].tolist()


def test_predictions_without_masks_pass() -> None:
    sample = DetDataSample()
    assert with_masks(sample, 0.3, (5, 9)) is sample
    sample.pred_instances = InstanceData(scores=torch.ones(1), bboxes=torch.zeros(1, 4))
    assert with_masks(sample, 0.3, (5, 9)) is sample
