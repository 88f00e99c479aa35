"""Windows that cover an image which is larger than the size a network was trained at."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Window(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class WindowConfig:
    """Size of the windows.

    Attributes:
        size: height and width in pixels; multiples of 32 need no padding.
        overlap: pixels that neighbours share at least, in both directions. A cell whose diameter
            is not larger is seen whole by some window.
        batch: windows that go through the network at once.
    """

    size: tuple[int, int] = (512, 512)
    overlap: int = 128
    batch: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.batch, int) or self.batch < 1:
            raise ValueError(f"windows.batch must be a whole number from 1 on, got {self.batch!r}")
        object.__setattr__(self, "size", _check(self.size, self.overlap))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "WindowConfig":
        """Build from ``windows`` of a ``test_cfg``.

        Raises:
            ValueError: for a key that is none of the attributes, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"windows has unknown keys {unknown}; known are {known}")
        return cls(**values)


def window_grid(size: tuple[int, int], window: tuple[int, int], overlap: int) -> list[Window]:
    """Cover an image with windows of one size, row by row.

    The last row and column are shifted inwards, so that each window is full; they then overlap
    more. In a direction in which the image is smaller, there is one window of the image's length.

    Args:
        size: height and width of the image.
        window: height and width of a window.
        overlap: pixels that neighbours share at least.

    Raises:
        ValueError: if the overlap does not lie between 0 and the window's shorter side, or the
            image has no pixels.
    """
    window = _check(window, overlap)
    if min(size) < 1:
        raise ValueError(f"an image of size (H, W) = {tuple(size)} has no pixels")
    rows, columns = (_spans(*pair, overlap) for pair in zip(size, window, strict=True))
    return [Window(top, left, h, w) for top, h in rows for left, w in columns]


def inner_part(window: Window, size: tuple[int, int], margin: int) -> tuple[slice, slice]:
    """Rows and columns of the image that a window sees at a depth of at least the margin.

    Depth is the distance of a pixel from those sides of the window at which the image goes on:
    0 beside such a side. Sides on the border of the image do not count.

    Args:
        window: part of an image.
        size: (H, W) of the image.
        margin: pixels.
    """
    spans = []
    for start, length, end in zip(window[:2], window[2:], size, strict=True):
        stop = start + length
        spans.append(slice(start + margin if start else 0, stop - margin if stop < end else stop))
    return spans[0], spans[1]


def depth_map(
    window: Window, size: tuple[int, int], box: tuple[int, int, int, int]
) -> NDArray[np.int64]:
    """Depth (see `inner_part`) of the pixels of a box, negative beyond the window.

    Args:
        window: part of an image.
        size: (H, W) of the image.
        box: x1, y1, x2, y2 in the image.

    Returns:
        (y2 - y1, x2 - x1); more than any side of the image where all sides are its border.
    """
    x1, y1, x2, y2 = box
    axes = []
    for i, place in enumerate((np.arange(y1, y2), np.arange(x1, x2))):
        start, stop = window[i], window[i] + window[i + 2]
        far = np.full(len(place), sum(size))
        low = place - start if start else far
        high = stop - 1 - place if stop < size[i] else far
        axes.append(np.minimum(low, high))
    return np.minimum(axes[0][:, None], axes[1])


def _spans(length: int, window: int, overlap: int) -> list[tuple[int, int]]:
    if length <= window:
        return [(0, length)]
    last = length - window
    return [(start, window) for start in [*range(0, last, window - overlap), last]]


def _check(window: Any, overlap: int) -> tuple[int, int]:
    sides = tuple(window) if isinstance(window, (list, tuple)) else ()
    if len(sides) != 2 or not all(isinstance(v, int) and v > 0 for v in sides):
        raise ValueError(f"windows need a size (height, width) in pixels, got {window!r}")
    if not isinstance(overlap, int) or not 0 <= overlap < min(sides):
        raise ValueError(
            f"the overlap must be a whole number of pixels from 0 to below the window's shorter "
            f"side {min(sides)}, got {overlap!r}"
        )
    return sides
