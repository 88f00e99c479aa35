"""Reading predictions of mmdet and mmseg data samples into plain arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmdet.structures import INSTANCE_OFFSET

from attnseg.evaluation.base import describe_image, to_numpy

LEGACY_VOID = 255


def class_map(sample: Mapping[str, Any], field: str) -> np.ndarray | None:
    """Return an integer map (H, W) of a pixel field, mmseg's ('data') or mmdet's ('sem_seg').

    Returns:
        None where the sample does not have the field.

    Raises:
        ValueError: If the map is not of shape (H, W) or (1, H, W), or not of an integer type.
    """
    data = sample.get(field)
    if data is None:
        return None
    value = data.get("sem_seg")
    value = to_numpy(data.get("data") if value is None else value)
    if value.ndim == 3 and value.shape[0] == 1:
        value = value[0]
    if value.ndim != 2 or not np.issubdtype(value.dtype, np.integer):
        raise ValueError(
            f"'{field}' of {describe_image(sample)} has shape {value.shape} and type "
            f"{value.dtype}; expected integers of shape (H, W) or (1, H, W)."
        )
    return value


def split_panoptic(
    values: np.ndarray, num_classes: int, sample: Mapping[str, Any], *others: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, int64, of panoptic values, and where they mean void.

    Args:
        values: mmdet's label + 1000 * instance, integers of any type and shape.
        num_classes: Number of classes C, which means void itself.
        sample: The data sample, which may have an ``ignore_index`` of its own, and for errors.
        *others: More labels that mean void where they are no class.

    Raises:
        ValueError: If a label is neither a class nor void.
    """
    # A byte cannot even hold the offset.
    labels = values.astype(np.int64) % INSTANCE_OFFSET
    return labels, find_void(labels, num_classes, sample, "pred_panoptic_seg", *others)


def find_void(
    labels: np.ndarray, num_classes: int, sample: Mapping[str, Any], field: str, *others: int | None
) -> np.ndarray:
    """Say where predicted labels mean void, and refuse those that are no class.

    Args:
        labels: Integers of any type and shape.
        num_classes: Number of classes C.
        sample: The data sample.
        field: Its field that the labels are from; its ``ignore_index`` is void, too.
        *others: More labels that mean void where they are no class.

    Raises:
        ValueError: If a label is neither a class nor void.
    """
    void = is_void(labels, num_classes, sample[field].get("ignore_index"), *others)
    check_labels(labels, void, num_classes, sample)
    return void


def is_void(labels: np.ndarray, num_classes: int, *others: int | None) -> np.ndarray:
    """Say where predicted labels mean void: the number of classes, 255 or one of ``others``.

    A value means void only where it is no class.
    """
    void = {num_classes, LEGACY_VOID, *(v for v in others if v is not None)}
    return np.isin(labels, [v for v in void if not 0 <= v < num_classes])


def check_labels(
    labels: np.ndarray,
    void: np.ndarray | None,
    num_classes: int,
    sample: Mapping[str, Any],
    what: str = "prediction",
) -> None:
    """Refuse labels that are neither a class nor void.

    Args:
        labels: Integers of any shape.
        void: Where they mean void; None where nothing does.
        num_classes: Number of classes C.
        sample: The data sample, for the error.
        what: 'prediction' or 'truth', for the error.

    Raises:
        ValueError: If there is one.
    """
    outside = (labels < 0) | (labels >= num_classes)
    wrong = labels[outside if void is None else outside & ~void]
    if wrong.size:
        raise ValueError(
            f"The {what} of {describe_image(sample)} has label {wrong.flat[0]}, but the data set "
            f"has {num_classes} classes (0..{num_classes - 1}): do the data set and the head have "
            "the same ones?"
        )
