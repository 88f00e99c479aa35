"""What the annotations of one labelled set say, image by image."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import path as osp
from typing import Any

from attnseg.datasets.coco_json import ClassTable
from attnseg.file_names import fault_of_name

from .sets import LabelledSet

Size = tuple[int, int]


@dataclass
class Entry:
    """One image of a set.

    Attributes:
        img_id: As the annotation file has it; the name in semantic sets.
        name: File name as listed.
        size: Height and width as listed; None where nothing says it.
        path: Of the image; None where it is not known or leads out of its folder.
        map_path: Of the label map or panoptic PNG, in the same way.
        objects: Annotations or segments; those of instances only where they are still needed.
    """

    img_id: Any
    name: str
    size: Size | None = None
    path: str | None = None
    map_path: str | None = None
    objects: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass
class Contents:
    """All of a set.

    Attributes:
        source: Where it is from.
        entries: The images.
        table: Classes of a COCO-form file; None where they do not fit.
        classes: Names in the order of the labels.
        histogram: Objects, segments or pixels (semantic sets) of each class name.
        objects: Number of objects or segments.
        crowds: How many of them are crowds.
        counted: Whether the histogram is complete.
        categories: Of a COCO-form file.
    """

    source: LabelledSet
    entries: list[Entry] = field(default_factory=list)
    table: ClassTable | None = None
    classes: tuple[str, ...] = ()
    histogram: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    crowds: int = 0
    counted: bool = True
    categories: list[Mapping[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The set in plain values."""
        source = self.source
        return {
            "set": source.name,
            "class": source.kind,
            "form": source.form,
            "ann_file": source.ann_file,
            "images_folder": source.images,
            "maps_folder": source.maps,
            "images": len(self.entries),
            "objects": self.objects,
            "crowds": self.crowds,
            "histogram": {name: self.histogram[name] for name in self.classes}
            if self.counted
            else None,
        }


def inside(folder: str, name: Any, outside: bool = False) -> str | None:
    """Path of a listed file; None if the name is none, or one that the data sets refuse."""
    if not isinstance(name, str) or fault_of_name(name, outside):
        return None
    return osp.join(folder, name)
