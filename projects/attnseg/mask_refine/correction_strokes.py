"""Strokes of a simulated user who corrects a mask: what to paint, and whether to add or remove.

The paper leaves feedback loops as future work (section 3.5). We follow the protocol of interactive
segmentation by clicks (Sofiiuk et al., "Reviving Iterative Training with Mask Guidance",
arXiv:2102.06583, section 3): the user works on the largest error. Where their user clicks at the
pixel that is deepest in it, ours paints its core.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


class Correction(NamedTuple):
    """One stroke.

    Attributes:
        stroke: boolean (H, W), the painted pixels; all of them are wrong in the mask.
        adds: whether they belong to the object; otherwise they are to be removed.
    """

    stroke: NDArray[np.bool_]
    adds: bool


def next_correction(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    valid: NDArray[np.bool_] | None = None,
    rng: Generator | None = None,
) -> Correction | None:
    """Paint the core of the largest error: its pixels at least half as deep as the deepest.

    Depth is the distance to the error's outline; beyond the image is outside. Of several parts of
    a core, the one with the deepest pixel is painted.

    Args:
        mask: (H, W), the present answer.
        truth: (H, W).
        valid: (H, W), where errors count; everywhere by default.
        rng: draws the error, with a chance by its area, and a brush between a quarter and three
            quarters of the depth, as users differ. Without it the largest error counts.

    Returns:
        None where nothing is wrong.
    """
    wrong = mask != truth
    if valid is not None:
        wrong &= valid
    # Missing and superfluous pixels that touch are two errors, not one.
    missing = cv2.connectedComponentsWithStats((wrong & truth).astype(np.uint8))
    surplus = cv2.connectedComponentsWithStats((wrong & mask).astype(np.uint8))
    areas = np.concatenate([found[2][1:, cv2.CC_STAT_AREA] for found in (missing, surplus)])
    if not areas.size:
        return None
    chosen = int(areas.argmax() if rng is None else rng.choice(areas.size, p=areas / areas.sum()))
    adds = chosen < missing[0] - 1
    labels, index = (missing[1], chosen + 1) if adds else (surplus[1], chosen + 2 - missing[0])
    share = 0.5 if rng is None else float(rng.uniform(0.25, 0.75))
    return Correction(_core(labels == index, share), adds)


def _core(region: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    rows, cols = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    inside = np.pad(region[box].astype(np.uint8), 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    deepest = np.unravel_index(int(depth.argmax()), depth.shape)
    _, parts = cv2.connectedComponents((depth >= share * depth[deepest]).astype(np.uint8))
    core = np.zeros(region.shape, dtype=bool)
    core[box] = parts == parts[deepest]
    return core
