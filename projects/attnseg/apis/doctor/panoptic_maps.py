"""Panoptic PNGs against their json."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from attnseg.coco_files import read_segment_ids
from attnseg.coco_values import is_box, is_number

from .contents import Contents, Entry, Size
from .findings import Findings

_OFF = 2  # pixels that a box may be off


class SegmentFacts(NamedTuple):
    """What the doctor keeps of a panoptic PNG.

    Attributes:
        problem: Code of what is wrong with the file itself, or None.
        text: More about the problem.
        size: Height and width.
        found: Area and corners x1, y1, x2, y2 of each segment id.
    """

    problem: str | None
    text: str = ""
    size: Size = (0, 0)
    found: dict[int, tuple[int, tuple[int, int, int, int]]] = {}


def read_segments(path: str) -> SegmentFacts:
    """Read a panoptic PNG and measure its segments."""
    try:
        ids = read_segment_ids(path)
    except FileNotFoundError:
        return SegmentFacts("map-missing")
    except Exception as error:  # Decoders fail at damaged bytes in many ways.
        return SegmentFacts("map-damaged", str(error).replace(f"panoptic PNG '{path}' ", ""))
    return SegmentFacts(None, "", ids.shape, _measure(ids))


def _measure(ids: NDArray[np.int32]) -> dict[int, tuple[int, tuple[int, int, int, int]]]:
    present, inverse, areas = np.unique(ids, return_inverse=True, return_counts=True)
    boxes = ndimage.find_objects(inverse.reshape(ids.shape) + 1)
    return {
        segment: (area, (columns.start, rows.start, columns.stop, rows.stop))
        for segment, area, (rows, columns) in zip(
            present.tolist(), areas.tolist(), boxes, strict=True
        )
        if segment
    }


def compare_segments(
    entry: Entry, facts: SegmentFacts, contents: Contents, findings: Findings
) -> None:
    """Compare the segments of a PNG with those that the json lists, in both directions."""
    where, name = contents.source.name, entry.map_path
    if facts.problem is not None:
        findings.add(facts.problem, where, f"{name}: {facts.text}" if facts.text else name)
        return
    if entry.size is not None and entry.size != facts.size:
        own, listed = (f"{size[1]} x {size[0]}" for size in (facts.size, entry.size))
        findings.add("map-size", where, f"{name}: {own}, the image is listed as {listed}")
    listed = {part["id"]: part for part in entry.objects}
    for segment in facts.found.keys() - listed.keys():
        area = facts.found[segment][0]
        findings.add("segment-unlisted", where, f"id {segment} in {name} ({area} pixels)")
    for segment, part in listed.items():
        if segment not in facts.found:
            findings.add("segment-absent", where, f"id {segment} of {entry.name}")
            continue
        area, corners = facts.found[segment]
        if is_number(part["area"]) and part["area"] != area:
            text = f"id {segment} of {entry.name}: {part['area']}, the PNG has {area}"
            findings.add("segment-area", where, text)
        box = part["bbox"]
        if is_box(box):
            x, y, width, height = box
            own = np.array([x, y, x + width, y + height])
            if np.abs(own - corners).max() > _OFF:
                shown = [corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]]
                text = f"id {segment} of {entry.name}: {box}, the PNG has {shown}"
                findings.add("segment-box", where, text)
