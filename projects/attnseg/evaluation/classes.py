"""Labels of a data set <-> categories of a COCO json, matched by name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def thing_flags(classes: Sequence[str], meta: Mapping[str, Any] | None) -> list[bool]:
    """Say of each label whether it is a thing.

    With ``thing_classes`` in the metainfo, labels 0..T-1 are things where the class list starts
    with them (a name may then occur as thing and again as stuff), and are looked up by name
    otherwise. Without it, everything is a thing.
    """
    things = (meta or {}).get("thing_classes")
    if things is None:
        return [True] * len(classes)
    things = tuple(things)
    if tuple(classes[: len(things)]) == things:
        return [label < len(things) for label in range(len(classes))]
    return [name in things for name in classes]


def unique_names(classes: Sequence[str]) -> list[str]:
    """Make names usable as metric keys: a name that occurs twice gets its label appended."""
    counts = Counter(classes)
    return [name if counts[name] == 1 else f"{name}#{i}" for i, name in enumerate(classes)]


def match_categories(
    classes: Sequence[str],
    is_thing: Sequence[bool],
    categories: Sequence[Mapping[str, Any]],
    ann_file: str,
) -> list[int]:
    """Find the category id of each class by its name.

    A name that the file has twice (as thing and as stuff) is told apart by ``isthing``.

    Args:
        classes: Names in the order of the labels.
        is_thing: One flag a class.
        categories: The ``categories`` of the json.
        ann_file: Named in errors.

    Returns:
        One category id a class.

    Raises:
        ValueError: If the file lacks a class; lists the names that it has.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for category in categories:
        found.setdefault(category["name"], []).append(category)
    missing = [name for name in classes if name not in found]
    if missing:
        raise ValueError(
            f"'{ann_file}' has no category named {', '.join(map(repr, missing))}; it has: "
            f"{', '.join(sorted(found))}. Set metainfo=dict(classes=(...)) of the dataset to "
            "names of this file, or give the metric the annotation file of this dataset."
        )
    ids = []
    for name, thing in zip(classes, is_thing, strict=True):
        same_kind = [c for c in found[name] if bool(c.get("isthing", thing)) == thing]
        ids.append((same_kind or found[name])[0]["id"])
    return ids
