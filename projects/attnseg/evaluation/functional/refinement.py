"""How well one mask fits another: the measures of mask refinement.

Contour IoU and region Hausdorff distance are what the published code of NeuralSegmentello calls
"Boundary IoU" and "Hausdorff distance"; its paper gives no definitions. Boundary IoU (Cheng et al.,
CVPR 2021) and the Hausdorff distance of contours are in `attnseg.evaluation.functional.boundary`.

A mask is a boolean array (H, W); pixels have a side of 1.
"""

from typing import NamedTuple

import cv2
import numpy as np

from attnseg.evaluation.functional.boundary import (
    boundary_iou,
    boundary_width,
    hausdorff,
)

_SQUARE = np.ones((3, 3), np.uint8)


class MaskScores(NamedTuple):
    """Measures of one mask against the truth; NaN where both have nothing to compare.

    Attributes:
        iou: Of the regions.
        boundary_iou: Cheng et al., d = 2 % of the image's diagonal unless said otherwise.
        contour_iou: Of the inner contours of one pixel.
        hausdorff: Of the regions, in pixels.
        hd95: 95th percentile of the contours' distances, in pixels.
        accuracy: Share of the image's pixels that agree.
    """

    iou: float
    boundary_iou: float
    contour_iou: float
    hausdorff: float
    hd95: float
    accuracy: float


def mask_scores(pred: np.ndarray, truth: np.ndarray, fraction: float = 0.02) -> MaskScores:
    """Compute all measures at the masks' own size.

    Where one of the two is empty, the overlaps are 0 and the distances the image's diagonal; where
    both are, all but the accuracy is NaN. Infinity, which the published code gives, occurs nowhere.

    Args:
        pred: Boolean (H, W).
        truth: Boolean (H, W).
        fraction: Of the image's diagonal, the width of boundary regions.

    Raises:
        ValueError: If the masks are not boolean, or differ in size.
    """
    width = boundary_width(truth.shape, fraction)
    return MaskScores(
        iou=_iou(pred, truth),
        boundary_iou=boundary_iou(pred, truth, width),
        contour_iou=contour_iou(pred, truth),
        hausdorff=region_hausdorff(pred, truth),
        hd95=hausdorff(pred, truth, percentile=95),
        accuracy=float((pred == truth).mean()),
    )


def contour_iou(pred: np.ndarray, truth: np.ndarray) -> float:
    """IoU of the inner contours of one pixel: each mask less its erosion by a 3x3 square.

    Beyond the image is no background: a mask has no contour along the image's border. NaN where
    neither has a contour, 0 where one has.
    """
    return _iou(*(mask & ~_eroded(mask) for mask in (pred, truth)))


def region_hausdorff(pred: np.ndarray, truth: np.ndarray) -> float:
    """Symmetric Hausdorff distance between all pixels of two masks, in pixels.

    Pixels that both have are at distance 0, so it is the farthest that one mask reaches from the
    other; holes count little, unlike in the distance between contours. One distance transform each
    way, in the box around both masks, instead of pairs of points: exact up to diagonals of 2000
    pixels, beyond that to the last digit of float32.

    Returns:
        NaN where both masks are empty, the diagonal of the image where one is.
    """
    some = int(pred.any()) + int(truth.any())
    if some < 2:
        return float(np.hypot(*pred.shape)) if some else float("nan")
    x, y, width, height = cv2.boundingRect((pred | truth).view(np.uint8))
    box = (slice(y, y + height), slice(x, x + width))
    first, second = pred[box], truth[box]
    return max(_reach(first, second), _reach(second, first))


def _reach(mask: np.ndarray, other: np.ndarray) -> float:
    """The greatest distance of a pixel of a mask to the other mask."""
    beyond = mask & ~other
    if not beyond.any():
        return 0.0
    away = cv2.distanceTransform((~other).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squares are whole numbers: this takes the rounding of float32 away.
    return float(np.sqrt(np.rint(np.float64(away[beyond].max()) ** 2)))


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else float("nan")


def _eroded(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), _SQUARE).astype(bool)
