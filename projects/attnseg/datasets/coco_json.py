"""Classes and objects of COCO-form files: pure functions, no mmdet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .checks import check_palette, make_palette


@dataclass(frozen=True)
class ClassTable:
    """Classes of a COCO-form file in the order of the labels.

    Attributes:
        classes: Names; for panoptic files the things come first.
        cat2label: Label of each category id that is used.
        num_things: How many of the classes are things (all of them in instance files).
        palette: RGB colour of each class.
    """

    classes: tuple[str, ...]
    cat2label: dict[int, int]
    num_things: int
    palette: list[tuple[int, int, int]]


def class_table(path: str, data: Mapping[str, Any], metainfo: Mapping[str, Any]) -> ClassTable:
    """Number the classes: in the wanted order, or by category id; things before stuff.

    The order of the categories in the file has no influence.

    Args:
        path: Of the file, for messages.
        data: Content as :func:`~attnseg.coco_files.read_coco_json` gives it.
        metainfo: May hold ``classes`` (wanted names, a tuple) and ``palette``.

    Raises:
        ValueError: Naming the file, the wanted classes and the names that the file has, if a
            wanted class is not in the file; or if a name stands for two categories.
    """
    categories = sorted(data["categories"], key=lambda category: category["id"])
    by_name = {category["name"]: category for category in categories}
    if len(by_name) < len(categories):
        names = [category["name"] for category in categories]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"annotation file '{path}': several categories are named {twice}.")
    wanted = metainfo.get("classes") or tuple(by_name)
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise ValueError(
            f"classes {unknown} of metainfo.classes={tuple(wanted)} match nothing in '{path}', "
            f"whose categories are {tuple(by_name)}. Correct metainfo.classes, or leave it out to "
            "take the classes of the file."
        )
    chosen = [by_name[name] for name in wanted]
    things = [category for category in chosen if category.get("isthing", 1)]
    stuff = [category for category in chosen if not category.get("isthing", 1)]
    ordered = things + stuff
    return ClassTable(
        classes=tuple(category["name"] for category in ordered),
        cat2label={category["id"]: label for label, category in enumerate(ordered)},
        num_things=len(things),
        palette=_palette(ordered, wanted, metainfo.get("palette")),
    )


def _palette(
    ordered: Sequence[Mapping[str, Any]], wanted: Sequence[str], given: Sequence[Any] | None
) -> list[tuple[int, int, int]]:
    if given:
        check_palette(given, wanted)
        colour_of = dict(zip(wanted, given, strict=True))
        return [tuple(colour_of[category["name"]]) for category in ordered]
    if all("color" in category for category in ordered):
        return [tuple(category["color"]) for category in ordered]
    return make_palette(len(ordered))


def group_by_image(data: Mapping[str, Any], form: str) -> dict[Any, list[dict[str, Any]]]:
    """Collect the objects (instances) or segments (panoptic) of each image id."""
    groups: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in data["images"]}
    for ann in data["annotations"]:
        groups[ann["image_id"]].extend(ann["segments_info"] if form == "panoptic" else (ann,))
    return groups
