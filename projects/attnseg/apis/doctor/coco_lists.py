"""The lists of a COCO-form file: ids, names, references and classes, all problems at once.

`attnseg.coco_files.read_coco_json`, with which a training starts, stops at the first.
"""

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from os import path as osp
from typing import Any

from mmengine.fileio import get_text

from attnseg.datasets.coco_json import class_table

from .contents import Contents, Entry, inside
from .findings import Findings
from .objects import check_object, check_segment
from .sets import INSTANCES, PANOPTIC, LabelledSet

_KEYS = {
    "image": ("id", "file_name", "height", "width"),
    "category": ("id", "name"),
    INSTANCES: ("image_id", "category_id"),
    PANOPTIC: ("image_id", "segments_info", "file_name"),
    "segment": ("id", "category_id", "area", "bbox"),
}
_HASHED = ("id", "image_id", "category_id", "name")
_PLAIN_KEYS = ("id", "bbox", "area")
_NAMED = 1 << 24


def read_contents(
    source: LabelledSet, findings: Findings, progress: Callable[[Iterable[Any], str], Iterable[Any]]
) -> Contents | None:
    """Read and check a COCO-form file.

    Args:
        source: Where it is.
        findings: Get what is wrong.
        progress: Wraps what is gone through, with a word for it.

    Returns:
        The usable rest of it; None where there is none.
    """
    data = _read(source, findings)
    if data is None:
        return None
    where, contents = source.name, Contents(source)
    images = _with_keys(data["images"], "image", _KEYS["image"], where, findings)
    categories = _with_keys(data["categories"], "category", _KEYS["category"], where, findings)
    contents.categories = _unique(categories, "category", where, findings)
    _check_classes(contents, findings)
    entries = {}
    for image in _unique(images, "image", where, findings):
        entries[image["id"]] = _entry(image, source, findings)
    contents.entries = list(entries.values())
    _check_names(contents, findings)
    check = _check_instances if source.form == INSTANCES else _check_panoptic
    check(contents, data, entries, findings, progress)
    if source.roles[0].startswith("train"):
        for name in contents.classes:
            if not contents.histogram[name]:
                findings.add("class-empty", where, f"'{name}'")
    return contents


def _read(source: LabelledSet, findings: Findings) -> dict[str, Any] | None:
    path, where = source.ann_file, source.name
    try:
        # Points become plain arrays while the file is parsed: lists of floats take four times the
        # memory, which large files would not leave.
        data = json.loads(get_text(path), object_hook=_compact)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        findings.add("file-missing", where, path)
        return None
    except (ValueError, OSError, RecursionError) as error:
        findings.add("not-json", where, f"{path}: {error}")
        return None
    if not isinstance(data, dict):
        findings.add("list-missing", where, f"{path} is a {type(data).__name__}")
        return None
    for key in ("images", "categories", "annotations"):
        found = data.get(key)
        # Test splits have no annotations; an evaluator needs them.
        optional = key == "annotations" and not source.of_metric and key not in data
        if not isinstance(found, list) or not (found or key == "annotations"):
            if not optional:
                state = "is empty" if found == [] else f"is {found!r:.20}"
                findings.add("list-missing", where, f"'{key}' of {path} {state}")
            data[key] = []
    return data


def _compact(value: dict[str, Any]) -> dict[str, Any]:
    masks = value.get("segmentation")
    if type(masks) is list:
        value["segmentation"] = [_points(polygon) for polygon in masks]
    return value


def _points(polygon: Any) -> Any:
    try:
        return array("d", polygon) if type(polygon) is list else polygon
    except (TypeError, OverflowError):
        return polygon


def _with_keys(
    items: list[Any], what: str, keys: Iterable[str], where: str, findings: Findings
) -> list[dict[str, Any]]:
    """The objects that have all keys, and names and ids that can be such."""
    good = []
    for position, item in enumerate(items):
        if not isinstance(item, dict):
            findings.add("key-missing", where, f"{what} at position {position} is {item!r:.60}")
            continue
        lacking = [key for key in keys if key not in item]
        if lacking:
            name = item.get("id", f"at position {position}")
            findings.add("key-missing", where, f"{what} {name} lacks {', '.join(lacking)}")
        elif any(isinstance(item.get(key), (list, dict)) for key in _HASHED):
            findings.add("key-missing", where, f"{what} at position {position} has no usable id")
        else:
            good.append(item)
    return good


def _unique(
    items: list[dict[str, Any]], what: str, where: str, findings: Findings
) -> list[dict[str, Any]]:
    first: dict[Any, dict[str, Any]] = {}
    for item in items:
        if item["id"] in first:
            name = item.get("name", item.get("file_name"))
            findings.add(f"{what}-id-twice", where, f"{item['id']} ({name})")
        else:
            first[item["id"]] = item
    return list(first.values())


def _check_classes(contents: Contents, findings: Findings) -> None:
    source, where = contents.source, contents.source.name
    if source.form == PANOPTIC:
        for category in contents.categories:
            if category.get("isthing") not in (0, 1):
                shown = category.get("isthing", "missing")
                findings.add("isthing", where, f"{category['name']}: {shown}")
    try:
        data = {"categories": contents.categories}
        contents.table = class_table(source.ann_file, data, source.metainfo)
        contents.classes = contents.table.classes
    except (ValueError, TypeError) as error:
        findings.add("classes", where, str(error))


def _entry(image: Mapping[str, Any], source: LabelledSet, findings: Findings) -> Entry:
    size = image["height"], image["width"]
    if not all(isinstance(side, int) and side > 0 for side in size):
        findings.add("size-value", source.name, f"{image['file_name']}: {size[0]!r} x {size[1]!r}")
        size = None
    entry = Entry(image["id"], str(image["file_name"]), size)
    if source.images is not None:
        entry.path = inside(source.images, image["file_name"], source.outside)
        if entry.path is None:
            findings.add("name-escapes", source.name, repr(image["file_name"])[:120])
    return entry


def _check_names(contents: Contents, findings: Findings) -> None:
    ids = defaultdict(list)
    for entry in contents.entries:
        ids[entry.name].append(entry.img_id)
    for name, own in ids.items():
        if len(own) > 1:
            findings.add("file-listed-twice", contents.source.name, f"{name}: ids {own[:4]}")


def _check_instances(
    contents: Contents,
    data: Mapping[str, Any],
    entries: Mapping[Any, Entry],
    findings: Findings,
    progress: Callable[..., Any],
) -> None:
    source, where = contents.source, contents.source.name
    keys = (*_KEYS[INSTANCES], *(_PLAIN_KEYS if source.plain else ()))
    names = {category["id"]: category["name"] for category in contents.categories}
    seen: set[Any] = set()
    annotations = data["annotations"]
    if annotations and all(isinstance(a, dict) and "segments_info" in a for a in annotations):
        findings.add("wrong-form", where, source.ann_file)
        return
    for ann in progress(_with_keys(annotations, "annotation", keys, where, findings), where):
        own = ann.get("id")
        if own is not None:
            if own in seen:
                findings.add("annotation-id-twice", where, str(own))
            seen.add(own)
        entry = entries.get(ann["image_id"])
        if entry is None:
            findings.add("unknown-image", where, f"annotation {own}: image_id {ann['image_id']}")
            continue
        if ann["category_id"] not in names:
            findings.add(
                "unknown-category", where, f"annotation {own}: category_id {ann['category_id']}"
            )
            continue
        entry.objects.append(ann)
        contents.objects += 1
        if ann.get("iscrowd", 0) not in (0, 1):
            findings.add("crowd-value", where, f"annotation {own}: {ann['iscrowd']!r:.20}")
        elif ann.get("iscrowd", 0):
            contents.crowds += 1
        contents.histogram[names[ann["category_id"]]] += 1
        if entry.size is not None:
            for code, text in check_object(ann, entry.size, source.needs_masks):
                findings.add(code, where, f"annotation {own} of {entry.name}{text}")
    if "annotations" in data and annotations:
        for entry in contents.entries:
            if not entry.objects:
                findings.add("image-empty", where, entry.name)


def _check_panoptic(
    contents: Contents,
    data: Mapping[str, Any],
    entries: Mapping[Any, Entry],
    findings: Findings,
    progress: Callable[..., Any],
) -> None:
    source, where = contents.source, contents.source.name
    annotations = data["annotations"]
    if annotations and not any(isinstance(a, dict) and "segments_info" in a for a in annotations):
        findings.add("wrong-form", where, source.ann_file)
        return
    categories = {category["id"]: category for category in contents.categories}
    annotated: set[Any] = set()
    found = _with_keys(annotations, "annotation", _KEYS[PANOPTIC], where, findings)
    for ann in progress(found, where):
        entry = entries.get(ann["image_id"])
        if entry is None:
            findings.add("unknown-image", where, f"annotation of image_id {ann['image_id']}")
            continue
        if ann["image_id"] in annotated:
            findings.add("panoptic-entry-twice", where, entry.name)
            continue
        annotated.add(ann["image_id"])
        entry.objects = _segments(ann, entry, categories, contents, findings)
        if source.maps is not None:
            entry.map_path = inside(source.maps, ann["file_name"])
            if entry.map_path is None:
                findings.add("name-escapes", where, repr(ann["file_name"])[:120])
    for entry in contents.entries if annotations else ():
        if entry.img_id not in annotated:
            findings.add("panoptic-entry-missing", where, entry.name)


def _segments(
    ann: Mapping[str, Any],
    entry: Entry,
    categories: Mapping[Any, Mapping[str, Any]],
    contents: Contents,
    findings: Findings,
) -> list[Mapping[str, Any]]:
    where = contents.source.name
    if not isinstance(ann["segments_info"], list):
        findings.add("key-missing", where, f"segments_info of {entry.name} is no list")
        return []
    what = f"segment of {entry.name}, id"
    good = _with_keys(ann["segments_info"], what, _KEYS["segment"], where, findings)
    kept, seen, stuff = [], set(), Counter()
    for part in good:
        example = f"segment {part['id']} of {entry.name}"
        if not isinstance(part["id"], int) or not 0 < part["id"] < _NAMED:
            findings.add("segment-id-value", where, example)
            continue
        if part["id"] in seen:
            findings.add("segment-id-twice", where, example)
            continue
        seen.add(part["id"])
        kept.append(part)
        category = categories.get(part["category_id"])
        if category is None:
            findings.add("unknown-category", where, f"{example}: {part['category_id']}")
            continue
        contents.objects += 1
        contents.histogram[category["name"]] += 1
        if part.get("iscrowd", 0) not in (0, 1):
            findings.add("crowd-value", where, f"{example}: {part['iscrowd']!r:.20}")
        elif part.get("iscrowd", 0):
            contents.crowds += 1
        if category.get("isthing") == 0:
            stuff[category["name"]] += 1
        if entry.size is not None:
            for code, text in check_segment(part, entry.size):
                findings.add(code, where, f"{example}{text}")
    for name, count in stuff.items():
        if count > 1:
            findings.add("stuff-twice", where, f"{name}: {count} in {entry.name}")
    return kept


def image_name(entry: Entry) -> str:
    """File name without folder and suffix: what an evaluator's file and the set must share."""
    return osp.splitext(osp.basename(entry.name.replace("\\", "/")))[0]
