"""Panoptic PNGs: segment id of a pixel = R + 256 G + 65536 B, 0 is void."""

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from mmengine.fileio import get
from numpy.typing import NDArray

from ..compat import rgb2id

VOID = 255


def read_segment_ids(path: str) -> NDArray[np.int32]:
    """Read a panoptic PNG as segment ids (H, W).

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: Naming the file, if it cannot be decoded.
    """
    data = np.frombuffer(get(path), np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR_BGR) if data.size else None
    if bgr is None:
        raise ValueError(f"panoptic PNG '{path}' cannot be decoded: it is damaged or no image.")
    return rgb2id(bgr[..., ::-1])


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
    if num_classes > VOID:
        raise ValueError(f"at most {VOID} classes fit beside void ({VOID}), got {num_classes}.")
    table = {part["id"]: part["category"] for part in segments}
    present, inverse = np.unique(ids, return_inverse=True)
    labels = np.array([table.get(int(segment), VOID) for segment in present], np.uint8)
    return labels[inverse.reshape(ids.shape)]


def measure(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Give ``area`` (pixels) and ``bbox`` (x, y, width, height) of a mask (H, W), not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    return {
        "area": int(mask.sum()),
        "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
    }
