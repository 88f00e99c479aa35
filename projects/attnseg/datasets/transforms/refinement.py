"""The way of one object into a network that refines masks: crop around the stroke, packing."""

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray

from ...errors import InputError
from ...registry import TRANSFORMS
from .image import to_bytes

Box = tuple[int, int, int, int]
_CROPPED = {"gt_mask": "target", "coarse_mask": "coarse", "add": "add", "remove": "remove"}
# Strokes at the image's own size, where a crop took their place.
_STROKES = {"add": "add_mask", "remove": "remove_mask"}
_STEP = 32
_META = ("img_id", "ann_id", "img_path", "ori_shape")


@TRANSFORMS.register_module()
class CropToStroke(BaseTransform):
    """Cut a window around what the user painted, and bring it to one size, or to one of a few.

    The window holds ``coarse_mask`` and ``add``; where both are empty it holds the image. It may
    reach beyond the image: there the image and the masks are 0. The image is resized by areas
    where it shrinks and bilinearly where it grows; masks likewise, cut at one half. Strokes
    (``add`` and ``remove``) keep every pixel that they touch, since thin ones would vanish.

    Masks at the image's own size stay as they are, strokes under ``add_mask`` and ``remove_mask``.
    New keys: ``coarse``, ``target``, ``add`` and ``remove`` at the network's size (as far as there
    are masks), and ``crop_box`` (x0, y0, x1, y1) in pixels of the image.

    Args:
        size: Height and width of the result.
        margin: On each side, as a fraction of the longer side of what was painted.
        min_margin: In pixels of the image.
        jitter: For training: the window is shifted and scaled at random by up to this fraction of
            its sides. It always holds what was painted.
        keep_ratio: Give the window the aspect ratio of ``size``. Else it keeps that of what was
            painted, and the image is distorted.
        max_size: For tests of networks that take any size: a window of more pixels than ``size``
            keeps them up to this height and width, in steps of 32 pixels; the outlines of large
            objects are drawn finer.

    Raises:
        ValueError: If an argument is out of range.
        InputError: If a sample has no coarse mask.
    """

    def __init__(
        self,
        size: tuple[int, int] = (256, 256),
        margin: float = 0.25,
        min_margin: int = 32,
        jitter: float = 0.0,
        keep_ratio: bool = True,
        max_size: tuple[int, int] | None = None,
    ) -> None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"CropToStroke: size is (height, width) in pixels, got {size}.")
        if margin < 0 or min_margin < 0 or not 0 <= jitter < 1:
            raise ValueError(
                "CropToStroke: margin and min_margin must be 0 or more and jitter in [0, 1), got "
                f"{margin}, {min_margin} and {jitter}."
            )
        self.size = (int(size[0]), int(size[1]))
        self.max_size = self.size if max_size is None else (int(max_size[0]), int(max_size[1]))
        if self.max_size[0] < self.size[0] or self.max_size[1] < self.size[1]:
            raise ValueError(f"CropToStroke: max_size {max_size} must not be below size {size}.")
        self.margin = margin
        self.min_margin = min_margin
        self.jitter = jitter
        self.keep_ratio = keep_ratio

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``img`` and set ``img_shape``; add the cropped masks and ``crop_box``."""
        if "coarse_mask" not in results:
            raise InputError(
                f"image '{results.get('img_path')}' has no 'coarse_mask': CropToStroke needs "
                "attnseg.CoarseMask in front of it, or a stroke."
            )
        box = self._box(results)
        size = self._size(box)
        for key, name in _CROPPED.items():
            if key in results:
                part = _cut(results[key], box)
                if key in _STROKES:
                    results[_STROKES[key]] = results[key]
                    results[name] = _resize_stroke(part, size)
                else:
                    results[name] = (_resize(part * np.uint8(255), size) > 127).view(np.uint8)
        results["img"] = _resize(_cut(results["img"], box), size)
        results["img_shape"] = size
        results["crop_box"] = box
        return results

    def _size(self, box: Box) -> tuple[int, int]:
        """Height and width of the result for a window."""
        left, top, right, bottom = box
        height, width = (
            min(most, max(least, _STEP * round(side / _STEP)))
            for side, least, most in zip(
                (bottom - top, right - left), self.size, self.max_size, strict=True
            )
        )
        return height, width

    def _box(self, results: Mapping[str, Any]) -> Box:
        painted = results["coarse_mask"]
        if results.get("add") is not None:
            painted = painted | results["add"]
        x, y, width, height = cv2.boundingRect(painted)
        if not width:
            height, width = painted.shape
            x = y = margin = 0
        else:
            margin = max(self.min_margin, math.ceil(self.margin * max(width, height)))
        sides = np.array([width + 2 * margin, height + 2 * margin], dtype=np.float64)
        least = np.array([width, height])
        if self.jitter:
            sides *= 1 + self.jitter * np.random.uniform(-1, 1)
        if self.keep_ratio:
            ratio = np.array(self.size[::-1], dtype=np.float64)
            sides = ratio * max(sides / ratio)
            sides = np.maximum(sides, ratio * max(least / ratio))
        sides = np.maximum(np.ceil(sides - 1e-6), least).astype(int)
        start = np.array([x, y]) - (sides - least) // 2
        if self.jitter:
            reach = self.jitter * sides
            start = np.rint(start + np.random.uniform(-1, 1, 2) * reach).astype(int)
            start = np.clip(start, np.array([x, y]) + least - sides, [x, y])
        left, top = start.tolist()
        return left, top, left + int(sides[0]), top + int(sides[1])


@TRANSFORMS.register_module()
class PackRefinement(BaseTransform):
    """Pack a sample as ``inputs`` (3, h, w) uint8 in BGR, and ``data_samples``.

    The sample holds, as boolean tensors, ``coarse`` and, as far as there are such, ``target``,
    ``add`` and ``remove``, all of the size (h, w) of the input. Where nothing was cropped that is
    the size of the image; ``add_mask`` and ``remove_mask`` (H, W) always have it. Its metainfo
    holds ``img_id``, ``ann_id``, ``img_path``, ``ori_shape`` (H, W), ``img_shape`` (h, w) and
    ``crop_box`` (None without a crop).

    Args:
        keep_masks: For tests: keep ``coarse_mask`` and ``gt_mask`` (H, W) at the image's own size,
            which the metric compares with.
        meta_keys: More keys of the sample for the metainfo.

    Raises:
        InputError: If a sample has no coarse mask, or its image has not three channels.
    """

    def __init__(self, keep_masks: bool = False, meta_keys: tuple[str, ...] = ()) -> None:
        self.keep_masks = keep_masks
        self.meta_keys = (*_META, *meta_keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make the packed sample."""
        img, path = results["img"], results.get("img_path")
        if img.ndim != 3 or img.shape[2] != 3:
            raise InputError(
                f"image '{path}' has shape {img.shape}: refinement needs three channels (H, W, 3); "
                "attnseg.LoadImage makes them."
            )
        if "coarse_mask" not in results:
            raise InputError(
                f"image '{path}' has no 'coarse_mask': PackRefinement needs attnseg.CoarseMask in "
                "front of it, or a stroke."
            )
        img = to_bytes(img)
        sample = BaseDataElement(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        size = img.shape[:2]
        sample.set_metainfo({"img_shape": size, "crop_box": results.get("crop_box")})
        cropped = "crop_box" in results
        for key, name in _CROPPED.items():
            own = name if cropped else key
            if own in results:
                setattr(sample, name, _to_bool(results[own], size, path, own))
        kept = {name: results.get(name, results.get(key)) for key, name in _STROKES.items()}
        if self.keep_masks:
            kept |= {key: results.get(key) for key in ("coarse_mask", "gt_mask")}
        for name, mask in kept.items():
            if mask is not None:
                setattr(sample, name, torch.from_numpy(mask.astype(bool)))
        pixels = np.ascontiguousarray(img.transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(pixels), "data_samples": sample}


def _to_bool(
    mask: NDArray[Any], size: tuple[int, int], path: str | None, name: str
) -> torch.Tensor:
    if mask.shape != size:
        raise InputError(
            f"'{name}' of image '{path}' is {mask.shape[0]}x{mask.shape[1]} (height x width), the "
            f"image is {size[0]}x{size[1]}: both must have one size."
        )
    return torch.from_numpy(mask.astype(bool))


def _cut(array: NDArray[Any], box: Box) -> NDArray[Any]:
    """The window of an image or mask; 0 beyond it."""
    left, top, right, bottom = box
    height, width = array.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    part = array[y0:y1, x0:x1]
    if part.shape[:2] == (bottom - top, right - left):
        return np.ascontiguousarray(part)
    whole = np.zeros((bottom - top, right - left, *array.shape[2:]), array.dtype)
    whole[y0 - top : y1 - top, x0 - left : x1 - left] = part
    return whole


def _resize(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    shrinks = array.shape[0] > size[0] or array.shape[1] > size[1]
    return cv2.resize(
        array, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def _resize_stroke(stroke: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    shrinks = stroke.shape[0] > size[0] or stroke.shape[1] > size[1]
    if not shrinks:
        return cv2.resize(stroke, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    shares = cv2.resize(stroke.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    return (shares > 0).astype(np.uint8)
