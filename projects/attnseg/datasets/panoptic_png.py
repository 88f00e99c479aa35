"""From segment ids of panoptic PNGs to labels, and measures of segments."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coco_files import relabel

VOID = 255


def check_class_count(num_classes: int) -> None:
    """Raise ``ValueError`` above 255 classes, where void would be a label."""
    if num_classes > VOID:
        raise ValueError(f"at most {VOID} classes fit beside void ({VOID}), got {num_classes}.")


def label_map(
    ids: NDArray[Any], segments: Iterable[Mapping[str, Any]], num_classes: int
) -> NDArray[Any]:
    """Turn segment ids into labels.

    Args:
        ids: (H, W).
        segments: Each with ``id`` and ``category``, the label 0 to ``num_classes - 1``.
        num_classes: Number of classes.

    Returns:
        (H, W), uint8; pixels of no listed segment are 255 (void).

    Raises:
        ValueError: Above 255 classes, where void would be a label.
    """
    check_class_count(num_classes)
    table = {part["id"]: part["category"] for part in segments}
    return relabel(ids, table, VOID, np.uint8)


def measure(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Give ``area`` (pixels) and ``bbox`` (x, y, width, height) of a mask (H, W), not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "area": int(mask.sum()),
        "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
    }
