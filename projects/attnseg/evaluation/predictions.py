"""Reading predictions of mmdet and mmseg data samples into plain arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

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


def is_void(labels: np.ndarray, num_classes: int, *others: int | None) -> np.ndarray:
    """Say where predicted labels mean void: the number of classes, 255 or one of ``others``.

    A value means void only where it is no class.
    """
    void = {num_classes, LEGACY_VOID, *(v for v in others if v is not None)}
    return np.isin(labels, [v for v in void if not 0 <= v < num_classes])


def check_labels(
    labels: np.ndarray, void: np.ndarray, num_classes: int, sample: Mapping[str, Any]
) -> None:
    """Refuse labels that are neither a class nor void.

    Raises:
        ValueError: If there is one.
    """
    wrong = labels[~void & ((labels < 0) | (labels >= num_classes))]
    if wrong.size:
        raise ValueError(
            f"The prediction of {describe_image(sample)} has label {wrong.flat[0]}, but the data "
            f"set has {num_classes} classes (0..{num_classes - 1}): does the head have the same "
            "number of classes?"
        )
