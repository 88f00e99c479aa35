"""Masks cropped to their boxes: a cell of a large image costs what the cell costs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import mask as rle_tools
from numpy.typing import NDArray


class MaskCrop(NamedTuple):
    """A mask within the smallest box around it.

    Attributes:
        top: first row of the box in the image.
        left: first column.
        mask: (h, w) bool; no border row or column is empty.
    """

    top: int
    left: int
    mask: NDArray[np.bool_]

    @property
    def area(self) -> int:
        """Pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2; the last two are exclusive."""
        height, width = self.mask.shape
        return self.left, self.top, self.left + width, self.top + height


def crop_mask(mask: NDArray[np.bool_], top: int = 0, left: int = 0) -> MaskCrop | None:
    """Cut a mask to its box.

    Args:
        mask: (h, w) bool.
        top: row of the image at which it starts.
        left: column.

    Returns:
        A copy, or None for an empty mask.
    """
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return None
    y1, y2 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[y1:y2].any(0))
    x1, x2 = int(columns[0]), int(columns[-1]) + 1
    return MaskCrop(top + y1, left + x1, mask[y1:y2, x1:x2].copy())


def cut(crop: MaskCrop, rows: slice, columns: slice) -> MaskCrop | None:
    """What of a mask lies in some rows and columns of the image; None for nothing."""
    top, left = max(rows.start, crop.top), max(columns.start, crop.left)
    inside = crop.mask[
        top - crop.top : max(0, rows.stop - crop.top),
        left - crop.left : max(0, columns.stop - crop.left),
    ]
    return crop_mask(inside, top, left)


def paste(crops: Sequence[MaskCrop], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Full masks (n, H, W) bool of an image of ``size`` (H, W)."""
    full = np.zeros((len(crops), *size), dtype=bool)
    for canvas, crop in zip(full, crops, strict=True):
        x1, y1, x2, y2 = crop.box
        canvas[y1:y2, x1:x2] = crop.mask
    return full


def encode(crop: MaskCrop, size: tuple[int, int]) -> dict[str, Any]:
    """Compressed COCO RLE for an image of ``size`` (H, W), without building the full mask.

    Returns:
        ``size`` [H, W] and ``counts`` as bytes.
    """
    columns, rows = np.nonzero(crop.mask.T)
    # COCO counts column by column.
    position = (columns + crop.left) * size[0] + rows + crop.top
    gaps = np.flatnonzero(np.diff(position) != 1)
    starts = position[np.append(0, gaps + 1)]
    ends = position[np.append(gaps, -1)] + 1
    edges = np.stack([starts, ends], axis=1).ravel()
    edges = np.unique(np.concatenate([edges, [size[0] * size[1]]]))
    counts = np.diff(edges, prepend=0).tolist()
    return rle_tools.frPyObjects({"size": list(size), "counts": counts}, *size)


def shared_pixels(one: MaskCrop, two: MaskCrop) -> int:
    """Number of pixels that two masks of an image share."""
    boxes = one.box, two.box
    x1, y1 = (max(box[i] for box in boxes) for i in (0, 1))
    x2, y2 = (min(box[i] for box in boxes) for i in (2, 3))
    if x1 >= x2 or y1 >= y2:
        return 0
    parts = (
        crop.mask[y1 - crop.top : y2 - crop.top, x1 - crop.left : x2 - crop.left]
        for crop in (one, two)
    )
    return int(np.count_nonzero(np.logical_and(*parts)))


def shared_matrix(first: Sequence[MaskCrop], second: Sequence[MaskCrop]) -> NDArray[np.int64]:
    """Pixels that each mask of ``first`` shares with each of ``second``, (n, m)."""
    boxes, others = (np.array([c.box for c in crops]).reshape(-1, 4) for crops in (first, second))
    near = (boxes[:, None, :2] < others[None, :, 2:]) & (others[None, :, :2] < boxes[:, None, 2:])
    shared = np.zeros(near.shape[:2], dtype=np.int64)
    for i, j in np.argwhere(near.all(2)):
        shared[i, j] = shared_pixels(first[i], second[j])
    return shared
