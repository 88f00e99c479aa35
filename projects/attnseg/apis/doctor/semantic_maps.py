"""Images with index PNGs: the files that pair, and the labels in the maps."""

from collections.abc import Mapping
from os import path as osp
from typing import Any, NamedTuple

import numpy as np
from mmengine.fileio import get
from numpy.typing import NDArray

from attnseg.coco_files import decode_image
from attnseg.datasets.checks import check_binary_maps

from .contents import Contents, Entry, Size, inside
from .findings import Findings
from .sets import LabelledSet


class MapFacts(NamedTuple):
    """What the doctor keeps of a label map.

    Attributes:
        problem: Code of what is wrong with the file itself, or None.
        text: More about the problem.
        size: Height and width.
        labels: Number of pixels of each value.
        palette: Whether the file has one.
    """

    problem: str | None
    text: str = ""
    size: Size = (0, 0)
    labels: Mapping[int, int] = {}
    palette: bool = False


def list_maps(source: LabelledSet, findings: Findings) -> Contents | None:
    """Pair images and maps as the data set does, without its refusals."""
    from mmseg.datasets import BaseSegDataset

    from attnseg.datasets import SemanticDataset

    dataset, contents = source.dataset, Contents(source, counted=False)
    contents.classes = tuple(source.metainfo["classes"])
    if not osp.isdir(source.images):
        return contents
    simple = isinstance(dataset, SemanticDataset)
    load = BaseSegDataset.load_data_list if simple else type(dataset).load_data_list
    try:
        infos = load(dataset)
    except Exception as error:  # Classes of mmseg assert, or fail at lists of other forms.
        findings.add("unreadable-set", source.name, f"{type(error).__name__}: {error}")
        return None
    for info in infos:
        name = osp.relpath(info["img_path"], source.images or ".")
        path = inside(source.images, name)
        entry = Entry(name.removesuffix(dataset.img_suffix), name, path=path)
        if path is None:
            findings.add("name-escapes", source.name, name)
        elif info.get("seg_map_path"):
            entry.map_path = info["seg_map_path"]
        contents.entries.append(entry)
    return contents


def read_map(path: str) -> MapFacts:
    """Read a label map and count its values."""
    seen: dict[str, Any] = {}
    try:
        data = get(path)
        values = decode_image(data, lambda image: seen.update(mode=image.mode))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return MapFacts("map-missing")
    except Exception as error:  # Decoders fail at damaged bytes in many ways.
        return MapFacts("map-damaged", str(error))
    size = values.shape[:2]
    if values.ndim != 2:
        return MapFacts("map-channels", f"{values.shape[2]} channels ({seen['mode']})", size)
    present, counts = _count(values)
    labels = dict(zip(present.tolist(), counts.tolist(), strict=True))
    if values.dtype.itemsize > 1 and max(labels, default=0) > 255:
        return MapFacts("map-depth", f"labels up to {max(labels)}", size)
    return MapFacts(None, "", size, labels, seen["mode"] == "P")


def _count(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        present = np.flatnonzero(counts)
        return present, counts[present]
    return np.unique(values.astype(np.int64), return_counts=True)


def compare_map(
    entry: Entry, facts: MapFacts, image_size: Size | None, contents: Contents, findings: Findings
) -> None:
    """Compare a label map with its image and the classes; adds to the histogram."""
    where, name = contents.source.name, str(entry.map_path)
    if facts.problem is not None:
        findings.add(facts.problem, where, f"{name}: {facts.text}" if facts.text else name)
        return
    if image_size is not None and image_size != facts.size:
        own, other = (f"{size[1]} x {size[0]}" for size in (facts.size, image_size))
        findings.add("map-size", where, f"{name}: {own}, the image {other}")
    if facts.palette:
        findings.add("map-palette", where, name)
    dataset, classes = contents.source.dataset, contents.classes
    outside, labelled = [], 0
    for value, count in facts.labels.items():
        label = as_label(value, dataset)
        if label == dataset.ignore_index:
            continue
        labelled += count
        if 0 <= label < len(classes):
            contents.histogram[classes[label]] += count
        else:
            outside.append(value)
    if outside:
        shown = ", ".join(map(str, sorted(outside)[:8]))
        findings.add("map-labels", where, f"{name}: {shown} of {len(classes)} classes")
    if not labelled:
        findings.add("map-void", where, name)


def as_label(value: int, dataset: Any) -> int:
    """The label that mmseg's loader makes of a value of the map."""
    if dataset.reduce_zero_label:
        value = 255 if value in (0, 255) else value - 1
    return (dataset.label_map or {}).get(value, value)


def finish_maps(contents: Contents, findings: Findings) -> None:
    """Check what only all maps together tell."""
    source, classes = contents.source, contents.classes
    contents.counted = True
    if source.roles[0].startswith("train"):
        for name in classes:
            if not contents.histogram[name]:
                findings.add("class-empty", source.name, f"'{name}'")
    dataset = source.dataset
    if len(classes) == 2 and dataset.ignore_index == 255 and not dataset.reduce_zero_label:
        try:
            check_binary_maps((e.map_path for e in contents.entries if e.map_path), classes)
        except ValueError as error:
            findings.add("map-binary", source.name, str(error).partition(":")[0])
