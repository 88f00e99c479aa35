"""Semantic segmentation from per-class areas: IoU, accuracy and Dice of a whole data set."""

from typing import NamedTuple

import numpy as np

from attnseg.evaluation.functional.sums import ratio


class AreaStatistics(NamedTuple):
    """Pixel counts per class, four arrays (..., C); entries of images add up."""

    intersect: np.ndarray
    union: np.ndarray
    pred: np.ndarray
    label: np.ndarray


class AreaScores(NamedTuple):
    """Per-class values (..., C) and the pixel accuracy (...), in [0, 1]; NaN where undefined."""

    iou: np.ndarray
    accuracy: np.ndarray
    dice: np.ndarray
    pixel_accuracy: np.ndarray


def area_statistics(
    pred: np.ndarray, label: np.ndarray, num_classes: int, ignore_index: int
) -> AreaStatistics:
    """Count the pixels of one image.

    Pixels whose label is ``ignore_index`` count nowhere. A predicted value outside 0..C-1 (a void
    prediction) on a labelled pixel is a miss of the true class and adds to no predicted area.

    Args:
        pred: Integer class map (H, W).
        label: Integer class map (H, W).
        num_classes: Number of classes C.
        ignore_index: Value of unlabelled pixels.

    Raises:
        ValueError: If the maps differ in size or a label is neither a class nor ignored.
    """
    if pred.shape != label.shape:
        raise ValueError(f"Prediction {pred.shape} and label {label.shape} differ in size.")
    labelled = label != ignore_index
    pred, label = pred[labelled], label[labelled]
    if label.size and (label.min() < 0 or label.max() >= num_classes):
        raise ValueError(
            f"Labels go from {label.min()} to {label.max()}, but there are {num_classes} classes "
            f"(0..{num_classes - 1}) and the void value is {ignore_index}."
        )
    valid = (pred >= 0) & (pred < num_classes)

    def count(values: np.ndarray) -> np.ndarray:
        return np.bincount(values.astype(np.int64), minlength=num_classes)

    intersect, label_area = count(label[pred == label]), count(label)
    pred_area = count(pred[valid])
    return AreaStatistics(intersect, pred_area + label_area - intersect, pred_area, label_area)


def area_scores(stats: AreaStatistics) -> AreaScores:
    """Compute IoU, accuracy (recall), Dice per class and the accuracy over all pixels.

    A class in neither prediction nor label has no IoU and no Dice (NaN); a class that is never
    labelled has no accuracy.
    """
    return AreaScores(
        iou=ratio(stats.intersect, stats.union),
        accuracy=ratio(stats.intersect, stats.label),
        dice=ratio(2 * stats.intersect, stats.pred + stats.label),
        pixel_accuracy=ratio(stats.intersect.sum(axis=-1), stats.label.sum(axis=-1)),
    )
