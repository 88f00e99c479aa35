"""Boundaries of binary masks: Boundary IoU, Hausdorff distance, average surface distance.

A mask is a boolean array (H, W); pixels have a side of 1.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
# Up to here float32 holds every squared distance with half a unit to spare.
_EXACT_SQUARE = 2**21


class SurfaceDistances(NamedTuple):
    """Distances in pixels between the contours of two masks.

    Attributes:
        forward: (n,) from each contour pixel of the first mask to the contour of the second.
        backward: (m,) the other way.
    """

    forward: np.ndarray
    backward: np.ndarray


def boundary_width(size: tuple[int, int], fraction: float = 0.02) -> int:
    """Width d of boundary regions: a fraction of the image's diagonal, at least 1 pixel.

    Args:
        size: Height and width of the image.
        fraction: 0.02 in Boundary IoU (Cheng et al., CVPR 2021).
    """
    return max(1, int(round(fraction * float(np.hypot(*size)))))


def boundary_region(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of a mask that are at most ``width`` pixels from its contour.

    The mask minus its erosion, ``width`` times by a 3x3 square, as in the published code of
    Boundary IoU (Cheng et al., CVPR 2021). What lies outside the image is background, so a mask
    that touches the image border has a boundary there. Computed by one chessboard distance
    transform, whatever the width.

    Args:
        mask: Boolean (H, W).
        width: d in pixels, at least 1.
    """
    if width < 1:
        raise ValueError(f"the boundary width must be at least 1 pixel, not {width}.")
    region = np.zeros(mask.shape, dtype=bool)
    box = _bounding_box(mask)
    if box is not None:
        inside = cv2.copyMakeBorder(mask[box].astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        distance = cv2.distanceTransform(inside, cv2.DIST_C, 3)[1:-1, 1:-1]
        region[box] = mask[box] & (distance <= width)
    return region


def boundary_iou(pred: np.ndarray, truth: np.ndarray, width: int) -> float:
    """Boundary IoU of two masks: the IoU of their boundary regions (Cheng et al., CVPR 2021).

    NaN where both masks are empty, 0 where one is.
    """
    intersection, union = boundary_areas(pred, truth, width)
    return intersection / union if union else float("nan")


def boundary_areas(pred: np.ndarray, truth: np.ndarray, width: int) -> tuple[int, int]:
    """Pixels in the intersection and in the union of two masks' boundary regions."""
    _check_sizes(pred, truth)
    first, second = boundary_region(pred, width), boundary_region(truth, width)
    return int(np.count_nonzero(first & second)), int(np.count_nonzero(first | second))


def contour(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask with one of their four neighbours outside it; beyond the image is outside.

    As in MONAI and in DeepMind's surface-distance for masks in two dimensions.
    """
    eroded = cv2.erode(mask.astype(np.uint8), _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (eroded == 0)


def surface_distances(pred: np.ndarray, truth: np.ndarray) -> SurfaceDistances:
    """Euclidean distances between the contours of two masks, by distance transforms.

    Raises:
        ValueError: If the masks differ in size, or one is empty.
    """
    _check_sizes(pred, truth)
    box = _bounding_box(pred | truth)
    if box is None or not pred.any() or not truth.any():
        raise ValueError("surface distances need two masks with pixels.")
    first, second = contour(pred[box]), contour(truth[box])
    return SurfaceDistances(_distances_to(second)[first], _distances_to(first)[second])


def hausdorff(pred: np.ndarray, truth: np.ndarray, percentile: float = 100.0) -> float:
    """Symmetric Hausdorff distance of two masks' contours, in pixels.

    Args:
        pred: Boolean (H, W).
        truth: Boolean (H, W).
        percentile: 95 for HD95: the percentile of the distances of each direction, and the greater
            of the two.

    Returns:
        NaN where both masks are empty, the diagonal of the image where one is.
    """
    lone = _one_sided(pred, truth)
    return hausdorff_of(surface_distances(pred, truth), percentile) if lone is None else lone


def average_surface_distance(pred: np.ndarray, truth: np.ndarray) -> float:
    """Symmetric average surface distance in pixels: mean over the pixels of both contours.

    NaN where both masks are empty, the diagonal of the image where one is.
    """
    lone = _one_sided(pred, truth)
    return average_of(surface_distances(pred, truth)) if lone is None else lone


def hausdorff_of(distances: SurfaceDistances, percentile: float = 100.0) -> float:
    """Hausdorff distance from distances that are known already; see `hausdorff`."""
    return float(max(np.percentile(values, percentile) for values in distances))


def average_of(distances: SurfaceDistances) -> float:
    """Average surface distance from distances that are known already."""
    return float(np.concatenate(distances).mean())


def _one_sided(pred: np.ndarray, truth: np.ndarray) -> float | None:
    """The distance where a mask is empty; None where both have pixels."""
    _check_sizes(pred, truth)
    some = int(pred.any()) + int(truth.any())
    return (float("nan"), float(np.hypot(*pred.shape)), None)[some]


def _distances_to(target: np.ndarray) -> np.ndarray:
    """Distance of every pixel to the nearest pixel of ``target``, float64."""
    apart = (~target).astype(np.uint8)
    # OpenCV's transform is several times faster than scipy's, in float32. Squares of distances
    # between pixels are integers, so rounding them makes it exact where float32 holds them.
    square = np.square(
        cv2.distanceTransform(apart, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), dtype=float
    )
    if square.max() < _EXACT_SQUARE:
        return np.sqrt(np.rint(square))
    return distance_transform_edt(~target)


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def _check_sizes(pred: np.ndarray, truth: np.ndarray) -> None:
    for mask in (pred, truth):
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise ValueError(f"masks are boolean (H, W), not {mask.dtype} {mask.shape}.")
    if pred.shape != truth.shape:
        raise ValueError(f"Prediction {pred.shape} and truth {truth.shape} differ in size.")
