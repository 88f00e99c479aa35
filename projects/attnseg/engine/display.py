"""Images of any depth and number of channels as pictures for the screen."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_OUTLINES = {"coarse": ((240, 160, 0), 5), "gt": ((0, 200, 0), 4), "pred": ((230, 0, 230), 2)}
_WORDS = {"coarse": "coarse", "gt": "truth", "pred": "refined"}
_LONG_SIDE, _MARGIN, _ENTRY = 480, 8, (110, 26)
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


def outlined(image: NDArray[np.uint8], sample: BaseDataElement) -> NDArray[np.uint8]:
    """Show a refined object: outlines of its coarse, true and predicted mask, and what they are.

    The picture is the part of the image around all of them, enlarged by a whole number until its
    longer side has 480 pixels or more, so that single pixels of small objects can be judged. Lines
    run along the masks' edges. Where they meet, the prediction, of 2 pixels, is drawn over the
    truth, and this over the coarse mask; the lower ones are wider and show on both sides.

    Args:
        image: RGB (H, W, 3).
        sample: With some of the masks ``coarse_mask``, ``gt_mask``, ``pred_mask`` (H, W); those of
            another size are left out.

    Returns:
        A new image with a legend below; the given one where the sample has no refined mask.
    """
    if "pred_mask" not in sample:
        return image
    masks = {
        name: sample.get(f"{name}_mask").cpu().numpy().astype(np.uint8)
        for name in _OUTLINES
        if f"{name}_mask" in sample and tuple(sample.get(f"{name}_mask").shape) == image.shape[:2]
    }
    box = _surroundings(list(masks.values()), image.shape[:2])
    part = image[box]
    scale = max(1, -(-_LONG_SIDE // max(part.shape[:2])))
    size = (part.shape[1] * scale, part.shape[0] * scale)
    picture = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
    for name, mask in masks.items():
        large = cv2.resize(mask[box], size, interpolation=cv2.INTER_NEAREST)
        lines, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        colour, width = _OUTLINES[name]
        cv2.drawContours(picture, lines, -1, colour, width)
    narrow = max(0, _ENTRY[0] - size[0])
    picture = np.pad(picture, ((0, 0), (0, narrow), (0, 0)), constant_values=255)
    return np.concatenate([picture, _legend(list(masks), picture.shape[1])])


def _surroundings(masks: list[NDArray[np.uint8]], size: tuple[int, int]) -> tuple[slice, slice]:
    """The box around masks with a margin; the whole image where they are empty."""
    x, y, width, height = cv2.boundingRect(np.bitwise_or.reduce(masks)) if masks else (0, 0, 0, 0)
    if not width:
        return slice(0, size[0]), slice(0, size[1])
    margin = max(_MARGIN, max(width, height) // 4)
    rows = slice(max(0, y - margin), min(size[0], y + height + margin))
    return rows, slice(max(0, x - margin), min(size[1], x + width + margin))


def _legend(names: list[str], width: int) -> NDArray[np.uint8]:
    """A strip (h, width, 3) with a line and a word for each outline, in rows where it is narrow."""
    across = max(1, min(len(names), width // _ENTRY[0]))
    strip = np.full((-(-len(names) // across) * _ENTRY[1], width, 3), 255, np.uint8)
    for position, name in enumerate(names):
        x, y = position % across * _ENTRY[0], position // across * _ENTRY[1] + _ENTRY[1] // 2
        cv2.line(strip, (x + 8, y), (x + 28, y), _OUTLINES[name][0], 4)
        place = (x + 36, y + 5)
        cv2.putText(strip, _WORDS[name], place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0,) * 3, 1, 16)
    return strip


def picture_name(path: str | Path, ann_id: Any = None) -> str:
    """Name of the file for a picture of an image: its own, as PNG where no viewer shows such.

    A picture of one object has its id behind the image's name and is a PNG: JPEG blurs lines.
    """
    path = Path(path)
    if ann_id is not None:
        return f"{path.stem}_{ann_id}.png"
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
