"""Masks cropped to their boxes: a cell of a large image costs what the cell costs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import mask as rle_tools
from numpy.typing import ArrayLike, NDArray


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


def near_boxes(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of boxes with a common part, by a sweep over x: no matrix of all pairs is built.

    Args:
        first: (n, 4) whole numbers as x1, y1, x2, y2, the last two exclusive.
        second: (m, 4).

    Returns:
        Positions in ``first`` and in ``second``, (k,) each, sorted by the first.
    """
    boxes, others = (np.asarray(b, dtype=np.int64).reshape(-1, 4) for b in (first, second))
    order = np.argsort(others[:, 0], kind="stable")
    x1, y1, x2, y2 = others[order].T
    # What starts further left than the widest box ends before the box that is asked for.
    low = np.searchsorted(x1, boxes[:, 0] - (x2 - x1).max(initial=0), side="right")
    high = np.searchsorted(x1, boxes[:, 2], side="left")
    ones, twos = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for i, (left, top, right, bottom) in enumerate(boxes.tolist()):
        span = slice(low[i], high[i])
        wide = np.maximum(x1[span], left) < np.minimum(x2[span], right)
        tall = np.maximum(y1[span], top) < np.minimum(y2[span], bottom)
        found = order[span][wide & tall]
        ones.append(np.full(len(found), i))
        twos.append(np.sort(found))
    return np.concatenate(ones), np.concatenate(twos)


def shared_pairs(
    first: Sequence[MaskCrop], second: Sequence[MaskCrop] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of masks that share pixels, and how many.

    Args:
        first: masks of an image.
        second: masks of the same image; None for pairs i < j within ``first``.

    Returns:
        Positions in ``first``, positions in ``second``, pixels: (k,) each, sorted by the first.
    """
    others = first if second is None else second
    ones, twos = near_boxes([c.box for c in first], [c.box for c in others])
    if second is None:
        ones, twos = ones[ones < twos], twos[ones < twos]
    pairs = zip(ones.tolist(), twos.tolist(), strict=True)
    shared = np.array([shared_pixels(first[i], others[j]) for i, j in pairs], dtype=np.int64)
    return ones[shared > 0], twos[shared > 0], shared[shared > 0]
