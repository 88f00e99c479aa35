"""Boundary IoU and surface distances of every class of a class map."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from attnseg.evaluation.functional.boundary import (
    average_of,
    boundary_areas,
    boundary_width,
    hausdorff_of,
    surface_distances,
)

Box = tuple[slice, slice]


class BoundaryStatistics(NamedTuple):
    """Statistics of one image per class, arrays (C,).

    Attributes:
        intersection: Pixels in both boundary regions.
        union: Pixels in one of them.
        hd: Hausdorff distance in pixels; NaN where the class is in neither map.
        hd95: The 95th percentile in place of the greatest distance.
        asd: Average symmetric surface distance.
    """

    intersection: np.ndarray
    union: np.ndarray
    hd: np.ndarray
    hd95: np.ndarray
    asd: np.ndarray


def boundary_statistics(
    pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int, fraction: float
) -> BoundaryStatistics:
    """Compare the boundaries of each class of two class maps.

    Pixels whose label is ``ignore_index`` belong to no mask of either map, so that both masks end
    there. Where only one map has a class, its three distances are the diagonal of the image. Each
    class is looked at within its bounding box.

    Args:
        pred: Integer class map (H, W); values outside 0..C-1 are void.
        label: Integer class map (H, W).
        num_classes: Number of classes C.
        ignore_index: Value of unlabelled pixels.
        fraction: Width d of boundary regions as a fraction of the image's diagonal.

    Raises:
        ValueError: If the maps differ in size.
    """
    if pred.shape != label.shape:
        raise ValueError(f"Prediction {pred.shape} and label {label.shape} differ in size.")
    width, diagonal = boundary_width(label.shape, fraction), float(np.hypot(*label.shape))
    maps = [_from_one(values, num_classes, label != ignore_index) for values in (pred, label)]
    boxes = [find_objects(values, num_classes) for values in maps]
    areas = np.zeros((2, num_classes), dtype=np.int64)
    distances = np.full((3, num_classes), np.nan)
    for c in range(num_classes):
        found = [box[c] for box in boxes if box[c] is not None]
        if not found:
            continue
        box = _around(found)
        first, second = (values[box] == c + 1 for values in maps)
        areas[:, c] = boundary_areas(first, second, width)
        if len(found) == 1:
            distances[:, c] = diagonal
        else:
            between = surface_distances(first, second)
            distances[:, c] = hausdorff_of(between), hausdorff_of(between, 95), average_of(between)
    return BoundaryStatistics(*areas, *distances)


def _from_one(values: np.ndarray, num_classes: int, labelled: np.ndarray) -> np.ndarray:
    """Classes as 1..C, everything else as 0."""
    is_class = labelled & (values >= 0) & (values < num_classes)
    # Wider first: 255 of an 8-bit map has no successor.
    return np.where(is_class, values.astype(np.int32) + 1, 0)


def _around(boxes: list[Box]) -> Box:
    rows, columns = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return rows, columns
