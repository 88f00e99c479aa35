"""Images of any depth and number of channels as pictures for the screen."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_CONTOURS = {"coarse_mask": (240, 160, 0), "gt_mask": (0, 200, 0), "pred_mask": (230, 0, 230)}
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def to_rgb(image: NDArray[Any], bgr: bool = False) -> NDArray[np.uint8]:
    """Show an image as RGB.

    One channel is gray. Two are magenta and green, which colour-blind readers tell apart, and
    white where both are bright. Three are colours. Of more, the mean is shown in gray.

    8-bit values stay as they are, and so do others within 0..255, rounded. Values within 0..1
    (float or bool) are multiplied by 255; all else, deep or normalised images, is stretched from
    its smallest to its largest value. What is not finite is black.

    Args:
        image: (H, W) or (H, W, C) of any real number type.
        bgr: Three channels stand in OpenCV's order.

    Returns:
        (H, W, 3).

    Raises:
        ValueError: If the image has another shape, or no pixel.
    """
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not pixels.size:
        raise ValueError(f"a picture needs pixels (H, W) or (H, W, C), got {np.shape(image)}")
    pixels = _to_bytes(pixels)
    channels = pixels.shape[2]
    if channels == 3:
        return np.ascontiguousarray(pixels[..., ::-1] if bgr else pixels)
    if channels == 2:
        return pixels[..., [0, 1, 0]]
    gray = pixels.mean(2, keepdims=True) if channels > 3 else pixels
    return np.rint(gray).astype(np.uint8).repeat(3, axis=2)


def _to_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = values[finite].min(), values[finite].max()
    if low < 0 or high > 255:
        values = (values - low) * (255 / (high - low) if high > low else 0)
    elif high <= 1 and pixels.dtype.kind in "fb":
        values = values * 255
    return np.rint(np.where(finite, values, 0)).astype(np.uint8)


def with_contours(image: NDArray[np.uint8], sample: BaseDataElement) -> NDArray[np.uint8]:
    """Draw the outlines of a refined object: coarse mask orange, truth green, prediction magenta.

    Args:
        image: RGB (H, W, 3).
        sample: With some of these masks; those of another size are left out.

    Returns:
        A new image; the given one where the sample has no refined mask.
    """
    if "pred_mask" not in sample:
        return image
    picture = image.copy()
    for key, colour in _CONTOURS.items():
        if key in sample and tuple(sample.get(key).shape) == image.shape[:2]:
            mask = sample.get(key).cpu().numpy().astype(np.uint8)
            lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, lines, -1, colour, 1)
    return picture


def picture_name(path: str | Path, ann_id: Any = None) -> str:
    """Name of the file for a picture of an image: its own, as PNG where no viewer shows such.

    A picture of one object has its id behind the image's name.
    """
    path = Path(path)
    if ann_id is not None:
        path = path.with_name(f"{path.stem}_{ann_id}{path.suffix}")
    return path.name + ("" if path.suffix.lower() in _PICTURES else ".png")


def with_masks(sample: BaseDataElement, threshold: float, size: tuple[int, int]) -> BaseDataElement:
    """Give a visualizer of mmdet the instances that it can draw.

    RLEs, which no visualizer reads, become masks, of those above a score: decoding all of them
    would take too much memory for large images of many cells. Instances of an empty mask and
    without a box, such as SOLOv2 finds in tiny images, are left out: mmdet fails on an image that
    has no others, and writes their names at the places of the next ones.

    Args:
        sample: Predictions of one image; returned as it is if all of it can be drawn.
        threshold: Scores above it are drawn.
        size: Height and width of the image in pixels.
    """
    found = sample.get("pred_instances")
    if found is None or "masks" not in found:
        return sample
    drawn = found
    if isinstance(found.masks, (list, tuple)):
        drawn = _decoded(found[found.scores > threshold], size)
    if isinstance(drawn.masks, torch.Tensor):
        kept = drawn.masks.any(-1).any(-1)
        if "bboxes" in drawn:
            kept |= (drawn.bboxes != 0).any(-1).to(kept.device)
        drawn = drawn if kept.all() else drawn[kept]
    if drawn is found:
        return sample
    copy = sample.new()
    copy.pred_instances = drawn
    return copy


def _decoded(found: InstanceData, size: tuple[int, int]) -> InstanceData:
    masks = torch.zeros(len(found), *size, dtype=torch.bool)
    for mask, rle in zip(masks, found.masks, strict=True):
        mask[:] = torch.from_numpy(coco_mask.decode(rle))
    drawn = found.new()
    del drawn.masks
    drawn.masks = masks
    return drawn
