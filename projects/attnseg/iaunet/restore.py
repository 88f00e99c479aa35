"""Masks from the grid of their logits to the pixels of the original image."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnseg.layers.mask_boxes import boxes_of_lines, mask_boxes
from attnseg.layers.precision import without_autocast

# Stands for infinite logits of half precision, which a weight of 0 would turn into NaN.
_FINITE = 1e5


@torch.no_grad()
def restore(
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    mask_thr: float = 0.5,
) -> Tensor:
    """Masks at the size of the original image.

    One bilinear interpolation (``align_corners=False``) from the grid of the logits straight to
    the original's pixels; the way over the padded input blurs twice. Each mask is computed
    within its box only, which is exact: beside cells under the threshold there is nothing above
    it. Besides the result, memory of one box is needed.

    Args:
        mask_logits: (n, h, w), covering the padded input.
        padded_size: (H, W) of the padded input.
        img_shape: (H, W) of the input without the padding on the right and below.
        ori_shape: (H, W) of the original image.
        mask_thr: probability above which a pixel belongs to a mask.

    Returns:
        (n, H, W) of ``ori_shape``, bool, on the device of the logits.

    Raises:
        ValueError: if ``img_shape`` is larger than ``padded_size``.
    """
    return restore_with_boxes(mask_logits, padded_size, img_shape, ori_shape, mask_thr)[0]


def restore_with_boxes(
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    mask_thr: float,
) -> tuple[Tensor, Tensor]:
    """Masks as from `restore`, and their boxes as from `mask_boxes`."""
    count, (height, width) = len(mask_logits), ori_shape[:2]
    masks = mask_logits.new_zeros(count, height, width, dtype=torch.bool)
    rows, columns = masks.new_zeros(count, height), masks.new_zeros(count, width)
    parts = restored_parts(mask_logits, padded_size, img_shape, ori_shape, mask_thr)
    for i, (top, left, part) in enumerate(parts):
        bottom, right = top + part.shape[0], left + part.shape[1]
        masks[i, top:bottom, left:right] = part
        # Looking for the boxes in the full masks would take longer than the interpolation.
        rows[i, top:bottom], columns[i, left:right] = part.any(1), part.any(0)
    return masks, boxes_of_lines(columns, rows)


def restored_parts(
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    mask_thr: float,
) -> Iterator[tuple[int, int, Tensor]]:
    """Top, left and bool part of each mask at the original size; beyond the part it is empty.

    Arguments and errors as in `restore`.
    """
    axes = [
        _Axis(*lengths, mask_logits.device)
        for lengths in zip(
            mask_logits.shape[1:], padded_size[:2], img_shape[:2], ori_shape[:2], strict=True
        )
    ]
    level = logit(mask_thr)
    boxes = mask_boxes(mask_logits > level).int().cpu().numpy()
    spans = [axis.spans(boxes[:, i], boxes[:, i + 2]) for axis, i in zip(axes, (1, 0), strict=True)]
    for logits, rows, columns in zip(mask_logits, *spans, strict=True):
        y1, y2, v1, v2 = rows
        x1, x2, u1, u2 = columns
        values = logits[v1:v2, u1:u2].float().clamp(-_FINITE, _FINITE)
        with without_autocast(values):
            values = axes[0].weights[y1:y2, v1:v2] @ values @ axes[1].weights[x1:x2, u1:u2].T
        yield y1, x1, values > level


class _Axis:
    """Linear interpolation along one axis, from the grid to the original's pixels.

    Attributes:
        weights: (final, cells), two neighbouring entries a row.
    """

    def __init__(self, cells: int, padded: int, cut: int, final: int, device: torch.device) -> None:
        if cut > padded:
            raise ValueError(
                f"img_shape {cut} is larger than the padded input {padded}; pass the size of the "
                "batch after padding"
            )
        step = cells / padded * cut / final
        place = ((np.arange(final) + 0.5) * step - 0.5).clip(0, cells - 1)
        self._low = np.floor(place).astype(np.int64)
        self._high = np.minimum(self._low + 1, cells - 1)
        weights = np.zeros((final, cells), dtype=np.float32)
        weights[np.arange(final), self._high] = place - self._low
        weights[np.arange(final), self._low] += 1 - (place - self._low)
        self.weights = torch.from_numpy(weights).to(device)

    def spans(self, first: NDArray[np.integer], stop: NDArray[np.integer]) -> list[list[int]]:
        """Pixels that cells ``first`` to ``stop`` touch, and all cells that these pixels need.

        Returns:
            First pixel, stop pixel, first cell, stop cell for each pair.
        """
        start = np.searchsorted(self._high, first, side="left")
        end = np.searchsorted(self._low, stop, side="left")
        end = np.where(stop > first, np.maximum(end, start), start)
        low = self._low[np.minimum(start, len(self._low) - 1)]
        high = self._high[np.maximum(end - 1, 0)] + 1
        return np.stack([start, end, low, np.maximum(high, low)], axis=1).tolist()


def logit(probability: float) -> float:
    """Inverse of the sigmoid."""
    return math.log(probability / (1 - probability))
