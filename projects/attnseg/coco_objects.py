"""Objects of COCO instance files: masks, boxes and areas checked, and measured where missing."""

from collections.abc import Sequence
from typing import Any

from attnseg.coco_values import is_box, is_number
from attnseg.errors import InputError
from attnseg.rle import mask_area, run_lengths

_FARTHEST = 1 << 20


def complete_object(ann: dict[str, Any], size: Sequence[int], name: str) -> None:
    """Check an object, and add ``area`` and ``bbox`` where it lacks them.

    The points of polygons and the runs of codes are looked at only where the object is measured,
    since that takes long in large files.

    Args:
        ann: COCO annotation; changed in place.
        size: Height and width of its image in pixels.
        name: Of file and object, for messages.

    Raises:
        ValueError: With ``name``, if a value is of a wrong type, or there is nothing to measure.
    """
    masked = "segmentation" in ann
    if masked and not _is_segmentation(ann["segmentation"]):
        raise ValueError(
            f"{name} has the segmentation {ann['segmentation']!r:.80}: polygons or RLE needed. "
            "Correct it, or remove the annotation."
        )
    if "bbox" in ann and not is_box(ann["bbox"]):
        raise ValueError(
            f"{name} has the bbox {ann['bbox']!r:.80}: the numbers x, y, width and height needed. "
            "Correct it, or leave it out to have it measured."
        )
    if "area" in ann and not is_number(ann["area"]):
        raise ValueError(
            f"{name} has the area {ann['area']!r:.80}: a number needed. Correct it, or leave it "
            "out to have it measured."
        )
    if "bbox" in ann and "area" in ann:
        return
    if masked:
        ann.update({**measure_object(ann["segmentation"], size, name), **ann})
    elif "bbox" in ann:
        ann["area"] = ann["bbox"][2] * ann["bbox"][3]
    else:
        raise ValueError(f"{name} lacks 'bbox' and a 'segmentation' to measure it by.")


def usable_polygons(polygons: Sequence[Any], name: str) -> list[list[float]]:
    """Polygons of three points or more; pycocotools takes four numbers for a box.

    Raises:
        InputError: With ``name``, if one is no list of numbers, or a point lies far outside.
    """
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(map(is_number, polygon)):
            raise InputError(
                f"{name}: its polygon {polygon!r:.80} has points that are no numbers: x and y in "
                "turn needed. Correct it, or remove the annotation."
            )
        if len(polygon) % 2:
            raise InputError(
                f"{name}: its polygon {polygon!r:.80} has {len(polygon)} values: x and y in turn "
                "needed. Correct it, or remove the annotation."
            )
        # pycocotools takes memory and time for each pixel of an edge, and ends the process.
        if polygon and max(max(polygon), -min(polygon)) > _FARTHEST:
            raise InputError(
                f"{name}: its polygon {polygon!r:.80} has points more than {_FARTHEST} pixels from "
                "the corner of the image. Correct it, or remove the annotation."
            )
    return [polygon for polygon in polygons if len(polygon) >= 6]


def measure_object(segmentation: Any, size: Sequence[int], name: str) -> dict[str, Any]:
    """Area in pixels and box (x, y, width, height) of polygons or a run-length code.

    Args:
        segmentation: In any form of COCO; a code may have a size of its own.
        size: Height and width of the image in pixels.
        name: Of file and object, for messages.

    Raises:
        ValueError: With ``name``, if the mask is damaged or no polygon has three points.
    """
    from pycocotools import mask as rle_tools

    if isinstance(segmentation, list):
        polygons = usable_polygons(segmentation, name)
        if not polygons:
            raise ValueError(
                f"{name} has no polygon of three points or more to measure 'area' and 'bbox' by: "
                "polygons or RLE needed."
            )
        rle = rle_tools.merge(rle_tools.frPyObjects(polygons, *size))
        return {"area": float(rle_tools.area(rle)), "bbox": rle_tools.toBbox(rle).tolist()}
    try:
        runs = run_lengths(segmentation)
    except ValueError as error:
        raise ValueError(f"{name}: {error}. Correct it, or remove the annotation.") from error
    rle = segmentation
    if isinstance(rle["counts"], list):
        rle = rle_tools.frPyObjects(rle, *rle["size"])
    return {"area": float(mask_area(runs)), "bbox": rle_tools.toBbox(rle).tolist()}


def _is_segmentation(value: Any) -> bool:
    if isinstance(value, dict):
        return "size" in value and "counts" in value
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)
