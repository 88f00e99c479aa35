"""Masks, boxes and areas of single objects; a generator of findings for each."""

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from attnseg.coco_objects import measure_object
from attnseg.coco_values import is_box, is_number

Found = tuple[str, str]
_SLACK = 1.0  # pixels that a box may reach out of its image by rounding
_LOOSE = (3.0, 0.1)  # pixels, and share of the longer side, that a box may be off its mask
_AREA = (64.0, 0.5)  # square pixels, and share of the larger one, that an area may be off
_SMALL = 16.0  # square pixels by points, below which the pixels are counted


def check_object(
    ann: Mapping[str, Any], size: tuple[int, int], needs_mask: bool
) -> Iterator[Found]:
    """Check one object of an instance file.

    Args:
        ann: COCO annotation; polygons are ``array('d')``.
        size: Height and width of its image.
        needs_mask: Whether an object without segmentation is a fault.

    Yields:
        Code of the catalogue, and what to add to the object's name.
    """
    measured = None
    if "segmentation" not in ann:
        if needs_mask:
            yield "mask-missing", ""
    else:
        measured = yield from _check_mask(ann["segmentation"], size)
    box = yield from _check_box(ann.get("bbox"), size)
    area = ann.get("area")
    if area is not None and not (is_number(area) and area > 0):
        yield "area-value", f": {area!r:.40}"
        area = None
    if measured is None:
        return
    pixels, corners = measured
    if box is not None:
        off = np.abs(np.array(corners) - _clip(box, size)).max()
        longest = max(corners[2] - corners[0], corners[3] - corners[1])
        if off > max(_LOOSE[0], _LOOSE[1] * longest):
            shown = ", ".join(f"{corner:.0f}" for corner in corners)
            yield "box-mask", f": box {_shown(ann['bbox'])}, corners of the mask {shown}"
    if area is not None and abs(area - pixels) > max(_AREA[0], _AREA[1] * max(area, pixels)):
        yield "area-mask", f": {area:.0f}, the mask has {pixels:.0f}"


def check_segment(part: Mapping[str, Any], size: tuple[int, int]) -> Iterator[Found]:
    """Check box and area of a panoptic segment; arguments and results as in `check_object`."""
    yield from _check_box(part["bbox"], size)
    if not (is_number(part["area"]) and part["area"] > 0):
        yield "area-value", f": {part['area']!r:.40}"


def _check_box(box: Any, size: tuple[int, int]) -> Iterator[Found]:
    """Returns the corners x1, y1, x2, y2 of a usable box."""
    if box is None:
        return None
    if not is_box(box):
        yield "box-form", f": {box!r:.60}"
        return None
    x, y, width, height = box
    if width < 1 or height < 1:
        yield "box-tiny", f": {_shown(box)}"
        return None
    corners = (x, y, x + width, y + height)
    if x >= size[1] or y >= size[0] or corners[2] <= 0 or corners[3] <= 0:
        yield "box-beside", f": {_shown(box)}, the image is {size[1]} x {size[0]}"
        return None
    if min(x, y) < -_SLACK or corners[2] > size[1] + _SLACK or corners[3] > size[0] + _SLACK:
        yield "box-outside", f": {_shown(box)}, the image is {size[1]} x {size[0]}"
    return corners


def _check_mask(mask: Any, size: tuple[int, int]) -> Iterator[Found]:
    """Returns area and corners within the image of a usable mask."""
    if isinstance(mask, list):
        return (yield from _check_polygons(mask, size))
    if not isinstance(mask, Mapping) or not {"size", "counts"} <= mask.keys():
        yield "mask-form", f": {mask!r:.60}"
        return None
    try:
        found = measure_object(mask, size, "")
    except ValueError as error:
        text = str(error).removeprefix(": ").removesuffix(". Correct it, or remove the annotation.")
        yield "rle-damaged", f": {text}"
        return None
    if tuple(mask["size"]) != size:
        yield "rle-size", f": {_sides(mask['size'])}, the image is {_sides(size)}"
        return None
    if not found["area"]:
        yield "mask-empty", ""
        return None
    x, y, width, height = found["bbox"]
    return found["area"], (x, y, x + width, y + height)


def _check_polygons(polygons: list[Any], size: tuple[int, int]) -> Iterator[Found]:
    usable, whole = [], True
    for polygon in polygons:
        code = _polygon_fault(polygon)
        if code is None:
            usable.append(np.frombuffer(polygon))
        else:
            whole = False
            shown = polygon.tolist() if isinstance(polygon, array) else polygon
            yield code, f": {shown!r:.60}"
    if not usable:
        if whole:
            yield "mask-empty", ": no polygon"
        return None
    area = sum(map(_enclosed, usable))
    points = usable[0].reshape(-1, 2) if len(usable) == 1 else np.concatenate(usable).reshape(-1, 2)
    corners = (*points.min(0).tolist(), *points.max(0).tolist())
    clipped = _clip(corners, size)
    if area < _SMALL or (clipped[2:] - clipped[:2]).min() <= 0:
        # Thin ones have pixels though their points enclose next to nothing.
        rle = rle_tools.merge(rle_tools.frPyObjects([p.tolist() for p in usable], *size))
        if not rle_tools.area(rle):
            yield "mask-empty", f": polygon from {_shown(corners[:2])} to {_shown(corners[2:])}"
            return None
    # Polygons may overlap, and what lies outside the image counts for nothing.
    return (area, tuple(clipped)) if whole else None


def _polygon_fault(polygon: Any) -> str | None:
    if not isinstance(polygon, array):
        return "polygon-points"
    if len(polygon) % 2:
        return "polygon-odd"
    if len(polygon) < 6:
        return "polygon-short"
    return None if math.isfinite(sum(polygon)) else "polygon-points"


def _enclosed(points: NDArray[np.float64]) -> float:
    x, y = points[0::2], points[1::2]
    around = x[-1] * y[0] - x[0] * y[-1]
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1] + around)) / 2


def _clip(corners: Sequence[float], size: tuple[int, int]) -> NDArray[np.float64]:
    return np.clip(corners, 0, (size[1], size[0]) * 2)


def _shown(box: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in box)}]"


def _sides(size: Sequence[int]) -> str:
    """Width and height of (H, W)."""
    return f"{size[1]} x {size[0]}"
