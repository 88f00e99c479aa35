"""Instance masks in any of the forms of the stack -> run-length codes of a known size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import mask as rle_tools

from attnseg.coco_objects import usable_polygons
from attnseg.evaluation.base import to_numpy

Rle = dict[str, Any]


def encode_masks(masks: Any, size: tuple[int, int], owner: str) -> list[Rle]:
    """Encode masks, checking that they have the size of their image.

    Args:
        masks: Tensor or array (n, H, W), mmdet's BitmapMasks or PolygonMasks, or a sequence of
            RLEs or polygon lists.
        size: Height and width of the image.
        owner: Named in errors.

    Returns:
        One compressed RLE a mask.

    Raises:
        ValueError: If a mask has another size, or the array is not (n, H, W).
    """
    if hasattr(masks, "to_ndarray"):
        masks = masks.to_ndarray()
    if isinstance(masks, Sequence):
        return [encode_segmentation(mask, size, owner) for mask in masks]
    masks = to_numpy(masks)
    if not len(masks):
        return []
    if masks.ndim != 3:
        raise ValueError(f"Masks of {owner} have shape {masks.shape}; expected (n, H, W).")
    _check_size(masks.shape[1:], size, owner)
    # One at a time: a Fortran-ordered copy of all masks would double the memory.
    return [rle_tools.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks != 0]


def encode_segmentation(segmentation: Any, size: tuple[int, int], owner: str) -> Rle:
    """Turn one COCO segmentation (polygons, or RLE compressed or not) into a compressed RLE.

    Raises:
        ValueError: If an RLE has another size than its image, or a polygon has other than numbers.
    """
    if isinstance(segmentation, dict):
        _check_size(segmentation["size"], size, owner)
        if isinstance(segmentation["counts"], list):
            return rle_tools.frPyObjects(segmentation, *size)
        return segmentation
    polygons = [
        polygon if isinstance(polygon, list) else to_numpy(polygon).ravel().tolist()
        for polygon in segmentation
    ]
    usable = usable_polygons(polygons, owner)
    # COCO's own evaluation takes four numbers for a box, where there is nothing else.
    polygons = usable if usable or any(len(p) != 4 for p in polygons) else polygons
    if not polygons:
        return rle_tools.encode(np.zeros(size, dtype=np.uint8, order="F"))
    return rle_tools.merge(rle_tools.frPyObjects(polygons, *size))


def mask_areas(rles: Sequence[Rle]) -> list[float]:
    """Areas in pixels."""
    return [float(area) for area in rle_tools.area(list(rles))] if rles else []


def _check_size(found: Sequence[int], expected: tuple[int, int], owner: str) -> None:
    if tuple(int(v) for v in found) != tuple(expected):
        raise ValueError(
            f"Masks of {owner} have size (H, W) = {tuple(int(v) for v in found)}, the image has "
            f"{tuple(expected)}. Masks must be at the original size ('ori_shape')."
        )
