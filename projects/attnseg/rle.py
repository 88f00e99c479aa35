"""COCO's compressed run-length codes, read without trusting them.

The C decoders of the stack write past or short of the mask when the runs do not add up; files from
anywhere are therefore taken apart here, in numpy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_GROUPS = 7  # 5 bits each: runs up to 2**34


def run_lengths(rle: Any, size: Sequence[int] | None = None) -> NDArray[np.int64]:
    """Runs of a mask in column-major order; even positions are background.

    Source: ``rleFrString`` of the COCO API. A number is a series of 5-bit groups, lowest first,
    each in one character from ``0`` (48) on, with 32 added where another follows; from the fourth
    run on, it is the difference to the run two before.

    Args:
        rle: ``size`` and ``counts``; counts are a text, bytes, or the list of the runs itself.
        size: Height and width that the mask must have.

    Raises:
        ValueError: If it is no RLE, has another size, or if its runs do not fill the mask.
    """
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= rle.keys():
        raise ValueError("no RLE: an object with 'size' and 'counts' is needed")
    own = _size(rle["size"])
    if size is not None and own != tuple(size):
        raise ValueError(f"RLE of size (H, W) = {own}, the image has {tuple(size)}")
    return check_counts(rle["counts"], own[0] * own[1])


def check_counts(counts: Any, pixels: int) -> NDArray[np.int64]:
    """Runs of the ``counts`` of an RLE; see `run_lengths`.

    Args:
        counts: Text, bytes, or the list of the runs itself.
        pixels: Number of pixels that they must fill.

    Raises:
        ValueError: If they are damaged or do not.
    """
    if isinstance(counts, list):
        if not all(isinstance(c, int) and not isinstance(c, bool) for c in counts):
            raise ValueError("RLE counts that are not whole numbers")
        # In Python's own integers, which do not overflow.
        _check_range(min(counts, default=0), max(counts, default=0), pixels)
        runs = np.array(counts, dtype=np.int64)
    else:
        runs = _decompress(counts)
        _check_range(int(runs.min()), int(runs.max()), pixels)
    if runs.sum() != pixels:
        raise ValueError(f"damaged RLE: runs of {int(runs.sum())} pixels, the mask has {pixels}")
    return runs


def decode_mask(rle: Mapping[str, Any], size: Sequence[int] | None = None) -> NDArray[np.bool_]:
    """Decode a mask (H, W). Arguments and errors as in `run_lengths`."""
    runs = run_lengths(rle, size)
    height, width = rle["size"]
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def mask_area(runs: NDArray[np.int64]) -> int:
    """Number of foreground pixels."""
    return int(runs[1::2].sum())


def mask_box(rle: Mapping[str, Any]) -> list[int]:
    """Smallest box around a mask as COCO's x, y, width, height; zeros where it is empty."""
    mask = decode_mask(rle)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0, 0, 0, 0]
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]


def _size(value: Any) -> tuple[int, int]:
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 2
        or not all(isinstance(v, int) and 0 < v < 1 << 20 for v in value)
    ):
        raise ValueError(f"RLE with the size {value!r:.40}: height and width in pixels are needed")
    return value[0], value[1]


def _check_range(lowest: int, highest: int, pixels: int) -> None:
    if lowest < 0 or highest > pixels:
        wrong = highest if highest > pixels else lowest
        raise ValueError(f"damaged RLE: a run of {wrong} pixels, the mask has {pixels}")


def _decompress(counts: Any) -> NDArray[np.int64]:
    if isinstance(counts, str):
        counts = counts.encode("utf-8")
    if not isinstance(counts, bytes):
        raise ValueError(f"RLE counts of type {type(counts).__name__}: a text is needed")
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("damaged RLE: counts that are cut off or have characters outside '0'..'o'")
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > _MAX_GROUPS:
        raise ValueError("damaged RLE: a run that is longer than any mask")
    position = np.arange(len(codes)) - np.repeat(first, lengths)
    values = np.add.reduceat((codes & 31) << (5 * position), first)
    values -= np.where(codes[last] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
