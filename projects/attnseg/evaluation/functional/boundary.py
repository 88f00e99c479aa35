"""Boundaries of binary masks: Boundary IoU, Hausdorff distance, average surface distance.

A mask is a boolean array (H, W); pixels have a side of 1.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import KDTree

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


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
    Boundary IoU (Cheng et al., CVPR 2021); one erosion by a square of 2 ``width`` + 1 is the same.
    What lies outside the image is background, so a mask that touches the image border has a
    boundary there.

    Args:
        mask: Boolean (H, W).
        width: d in pixels, at least 1.

    Raises:
        ValueError: If the width is less than 1.
    """
    if width < 1:
        raise ValueError(f"the boundary width must be at least 1 pixel, not {width}.")
    region = np.zeros(mask.shape, dtype=bool)
    box = _bounding_box(mask)
    if box is not None:
        region[box] = mask[box] & ~_eroded(mask[box], np.ones((2 * width + 1,) * 2, np.uint8))
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
    return mask & ~_eroded(mask, _CROSS)


def surface_distances(pred: np.ndarray, truth: np.ndarray) -> SurfaceDistances:
    """Euclidean distances between the contours of two masks.

    The nearest pixels are found by a k-d tree of the contours: exact like a distance transform of
    the image, and much faster because contours are few of its pixels.

    Raises:
        ValueError: If the masks differ in size, or one is empty.
    """
    _check_sizes(pred, truth)
    box = _bounding_box(pred | truth)
    if box is None or not pred.any() or not truth.any():
        raise ValueError("surface distances need two masks with pixels.")
    first, second = contour(pred[box]), contour(truth[box])
    points = np.argwhere(first), np.argwhere(second)
    return SurfaceDistances(_nearest(*points), _nearest(*points[::-1]))


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


def _nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Distance of each point (n, 2) to the nearest target (m, 2)."""
    # Splits at the middle of the box suit points on a grid better than medians.
    tree = KDTree(targets, balanced_tree=False, compact_nodes=False)
    return tree.query(points)[0]


def _eroded(mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    pixels = mask.astype(np.uint8)
    return cv2.erode(pixels, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)


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
