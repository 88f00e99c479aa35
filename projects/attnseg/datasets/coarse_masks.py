"""Coarse masks as a hurried user would brush them, drawn from true masks.

A mask is uint8 (H, W) of 0 and 1. The mode ``erode`` follows the published code of
NeuralSegmentello (section 2.2 of its paper names the steps without their numbers).
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


def erode_mask(mask: Mask, rng: Generator, band: tuple[int, int] = (30, 40)) -> Mask:
    """Bites into the rim, then opening and smoothing: the coarse masks of NeuralSegmentello.

    Args:
        mask: 0 and 1.
        rng: source of all random numbers.
        band: least and greatest width of the rim in pixels, both included.
    """
    width = int(rng.integers(band[0], band[1] + 1))
    rim = mask & (1 - cv2.erode(mask, _ellipse(width)))
    rows, cols = np.nonzero(rim)
    if not rows.size:
        return mask.copy()
    coarse = mask.copy()
    for _ in range(int(rng.integers(2, 7))):
        at = int(rng.integers(rows.size))
        radius = int(rng.integers(width // 4, width // 2 + 1))
        cv2.circle(coarse, (int(cols[at]), int(rows[at])), radius, 0, -1)
    coarse = cv2.morphologyEx(
        coarse, cv2.MORPH_OPEN, _ellipse(int(rng.integers(width // 2, width + 1)))
    )
    blurred = cv2.GaussianBlur(coarse * np.uint8(255), (0, 0), float(rng.uniform(6, 12)))
    return (blurred > 127).astype(np.uint8)


def _ellipse(size: int) -> Mask:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
