"""Coarse masks as a hurried user would brush them, drawn from true masks.

A mask is uint8 (H, W) of 0 and 1. The mode ``erode`` follows the published code of
NeuralSegmentello, which gives the numbers that section 2.2 of its paper leaves out; masks are equal
but for a few pixels on which the rounding of its blur decides. The other modes of that code are
used nowhere in it. Those here are our own, and measure in sizes of the object (the square root of
its area) instead of pixels, so that small objects keep their shape.

Where a drawn mask has too few pixels, the published code takes another image instead. Here the same
object is drawn again, so that every object has a mask: three times at each scale, then with all
widths halved, down to a 32nd, and in the end the object itself is returned. A mask with pixels
therefore never becomes an empty one, and the same generator always gives the same mask.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .ellipse_morphology import dilate_ellipse, erode_ellipse, open_ellipse

Mask = NDArray[np.uint8]
Draw = Callable[[Mask, Generator, float], Mask]

_TRIES, _HALVINGS = 3, 5


def object_rng(seed: int, img_id: Any, ann_id: Any) -> Generator:
    """A generator that depends on these three alone: on no process, platform or order.

    Args:
        seed: Any number from 0 on.
        img_id: Number or text of the image.
        ann_id: Number or text of the object.
    """
    digest = hashlib.blake2b(f"{img_id}\0{ann_id}".encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])


def erode_mask(
    mask: Mask,
    rng: Generator,
    band: tuple[int, int] = (30, 40),
    sigma: tuple[float, float] = (6.0, 12.0),
    min_pixels: int = 50,
) -> Mask:
    """Bites into the rim, then opening and smoothing: the coarse masks of NeuralSegmentello.

    Beyond the image is neither inside nor outside, as OpenCV's erosion has it: a mask that touches
    the border has no rim there, and one of the whole image comes back as it is.

    Args:
        mask: 0 and 1.
        rng: Source of all random numbers.
        band: Least and greatest width of the rim in pixels, both included.
        sigma: Range of the smoothing in pixels.
        min_pixels: The result has so many, unless the mask itself has fewer.
    """

    def draw(mask: Mask, rng: Generator, scale: float) -> Mask:
        low, high = (max(1, round(width * scale)) for width in band)
        return _erode_once(mask, rng, (low, high), (sigma[0] * scale, sigma[1] * scale))

    # Half the largest ellipse, and the reach of OpenCV's blur: three deviations.
    return _redraw(draw, mask, rng, min_pixels, max(band[1] // 2, round(3 * sigma[1])) + 2)


def dilate_mask(mask: Mask, rng: Generator, min_pixels: int = 50) -> Mask:
    """Painted over the rim: dilation by 3 to 12 % of the object's size, with blots on the rim."""

    def draw(mask: Mask, rng: Generator, scale: float) -> Mask:
        size = _size(mask)
        coarse = dilate_ellipse(mask, 1 + 2 * round(size * scale * rng.uniform(0.03, 0.12)))
        rim = np.flatnonzero(mask - cv2.erode(mask, np.ones((3, 3), np.uint8)))
        for _ in range(int(rng.integers(2, 7)) if rim.size else 0):
            at = int(rim[rng.integers(rim.size)])
            _disc(coarse, at, round(size * scale * rng.uniform(0.06, 0.18)), 1)
        return _smooth(coarse, max(0.5, size * scale * rng.uniform(0.02, 0.05)))

    return _redraw(draw, mask, rng, min_pixels, round(0.4 * _size(mask)) + 2)


def paint_mask(mask: Mask, rng: Generator, min_pixels: int = 50) -> Mask:
    """A shaky round brush led along the medial axis, which leaves out some of it.

    The medial axis is where the distance to the outline has no slope of 1. The brush is 40 to 90 %
    as wide as the object at its widest; what lies far out in thin parts is often not reached.
    """

    def draw(mask: Mask, rng: Generator, scale: float) -> Mask:
        depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)
        # Beyond the border would count as deeper still.
        slope = np.hypot(*(cv2.Sobel(depth, cv2.CV_32F, *d, scale=1 / 8) for d in ((1, 0), (0, 1))))
        depth, slope = depth[1:-1, 1:-1], slope[1:-1, 1:-1]
        axis = ((depth > 0) & (slope < 0.7)).astype(np.uint8)
        brush = float(depth.max()) * rng.uniform(0.4, 0.9)
        axis[depth < brush * rng.uniform(0.2, 0.6)] = 0
        line = np.flatnonzero(axis)
        for _ in range(int(rng.integers(0, 3)) if line.size else 0):
            at = int(line[rng.integers(line.size)])
            _disc(axis, at, round(float(depth.max()) * scale * rng.uniform(0.5, 1.2)), 0)
        if not axis.any():
            return axis
        away = cv2.distanceTransform(1 - axis, cv2.DIST_L2, 5)
        shake = _noise(mask.shape, rng, max(1.0, brush)) * (0.15 * brush)
        return (away + shake < brush).astype(np.uint8)

    return _redraw(draw, mask, rng, min_pixels, round(0.6 * _size(mask)) + 2)


def jitter_mask(mask: Mask, rng: Generator, min_pixels: int = 50) -> Mask:
    """An outline that wanders: signed distance plus smooth noise and a bias, cut at zero.

    Noise of 2 to 8 % of the object's size (standard deviation), smooth over 5 to 25 % of it, and a
    bias of up to 5 % either way.
    """

    def draw(mask: Mask, rng: Generator, scale: float) -> Mask:
        size = _size(mask) * scale
        noise = _noise(mask.shape, rng, max(1.0, size * rng.uniform(0.05, 0.25)))
        bias = size * rng.uniform(-0.05, 0.05)
        moved = signed_distance(mask) + noise * (size * rng.uniform(0.02, 0.08)) + bias
        return (moved > 0).astype(np.uint8)

    return _redraw(draw, mask, rng, min_pixels, round(0.4 * _size(mask)) + 2)


MODES: Mapping[str, Callable[..., Mask]] = {
    "erode": erode_mask,
    "dilate": dilate_mask,
    "paintbrush": paint_mask,
    "jitter": jitter_mask,
}


def mix_mask(
    mask: Mask,
    rng: Generator,
    weights: Mapping[str, float] | None = None,
    min_pixels: int = 50,
) -> Mask:
    """One of the modes, chosen at random.

    Args:
        mask: 0 and 1.
        rng: Source of all random numbers.
        weights: How often each mode is chosen, relative to the others; all alike if left out.
        min_pixels: See `erode_mask`.
    """
    table = dict(weights or dict.fromkeys(MODES, 1.0))
    share = np.array(list(table.values()), dtype=np.float64)
    name = list(table)[int(rng.choice(len(table), p=share / share.sum()))]
    return MODES[name](mask, rng, min_pixels=min_pixels)


def signed_distance(mask: Mask) -> NDArray[np.float32]:
    """Distance in pixels to the nearest pixel of the other kind, positive inside.

    Beyond the image lies the same kind; of a mask without an outline, all is as far as the diagonal
    of the image.
    """
    far = float(np.hypot(*mask.shape))
    if not mask.any() or mask.all():
        return np.full(mask.shape, far if mask.any() else -far, np.float32)
    inside, outside = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (mask, 1 - mask))
    return inside - outside


def _redraw(draw: Draw, mask: Mask, rng: Generator, min_pixels: int, margin: int) -> Mask:
    """Draw in a window around the object until the mask has pixels enough."""
    box = _window(mask, margin)
    if box is None:
        return mask.copy()
    part = np.ascontiguousarray(mask[box])
    coarse = np.zeros_like(mask)
    for halving in range(_HALVINGS + 1):
        for _ in range(_TRIES):
            drawn = draw(part, rng, 0.5**halving)
            if np.count_nonzero(drawn) >= max(1, min_pixels):
                coarse[box] = drawn
                return coarse
    return mask.copy()


def _erode_once(
    mask: Mask, rng: Generator, band: tuple[int, int], sigma: tuple[float, float]
) -> Mask:
    width = int(rng.integers(band[0], band[1] + 1))
    rim = np.flatnonzero((mask - erode_ellipse(mask, width)).view(bool))
    if not rim.size:
        return mask.copy()
    coarse = mask.copy()
    for _ in range(int(rng.integers(2, 7))):
        at = int(rim[rng.integers(rim.size)])
        radius = int(rng.integers(width // 4, width // 2 + 1))
        _disc(coarse, at, radius, 0)
    coarse = open_ellipse(coarse, max(1, int(rng.integers(width // 2, width + 1))))
    smoothing = float(rng.uniform(*sigma))
    return _smooth(coarse, smoothing) if coarse.any() else coarse


def _disc(mask: Mask, at: int, radius: int, value: int) -> None:
    """Fill a disc around a pixel that is numbered row by row."""
    row, column = divmod(at, mask.shape[1])
    cv2.circle(mask, (column, row), radius, value, -1)


def _smooth(mask: Mask, sigma: float) -> Mask:
    """Blur and cut at one half: as cv2.GaussianBlur of 8 bits, in a third of its time.

    The kernel has whole numbers with a sum of 2^12, so that all sums are exact in float32 and the
    mask is the same on every processor.
    """
    kernel = np.rint(cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma) * 2**12)
    kernel[len(kernel) // 2] += 2**12 - kernel.sum()
    kernel = kernel.astype(np.float32)
    return (cv2.sepFilter2D(mask, cv2.CV_32F, kernel, kernel) > 2**23).view(np.uint8)


def _noise(shape: tuple[int, ...], rng: Generator, sigma: float) -> NDArray[np.float32]:
    """Gaussian noise (H, W) of deviation 1, smooth over ``sigma`` pixels."""
    # Drawn on a coarse grid: a wide blur at full size would cost more than all the rest.
    step = max(1.0, sigma / 2)
    height, width = (int(np.ceil(side / step)) + 1 for side in shape)
    grid = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), sigma / step)
    grid *= 2 * np.sqrt(np.pi) * sigma / step
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _window(mask: Mask, margin: int) -> tuple[slice, slice] | None:
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    return (
        slice(max(0, y - margin), y + height + margin),
        slice(max(0, x - margin), x + width + margin),
    )


def _size(mask: Mask) -> float:
    return float(np.sqrt(np.count_nonzero(mask)))
