"""Images and objects of a split: parted, and written where nothing published is lost."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checks import select_fraction
from .files import write_json

# Stands first in every json written here, so that no published file is taken for one of ours.
_MARK = {"info": {"written_by": "attnseg"}}


@dataclass
class Split:
    """Images and objects of one split, in COCO form.

    Attributes:
        images: With ``file_name``, ``height`` and ``width``.
        objects: Those of each image, in the order of ``images``; ids are given on writing.
        dropped: What was left out, and how often.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    objects: list[list[dict[str, Any]]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, image: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]) -> None:
        """Append an image and its objects."""
        self.images.append(dict(image))
        self.objects.append([dict(part) for part in objects])

    def choose(self, positions: Iterable[int]) -> "Split":
        """Take the images at some positions; ``dropped`` counts the whole and stays behind."""
        chosen = Split()
        for position in positions:
            chosen.add(self.images[position], self.objects[position])
        return chosen

    def write(self, path: Path, classes: Sequence[str]) -> str:
        """Write a COCO instances json with ids from 1 on, and say in a line what is in it.

        Args:
            path: Of the json.
            classes: Names; an object's ``category_id`` is 1 + the position of its class.
        """
        annotations = []
        for image_id, objects in enumerate(self.objects, 1):
            for part in objects:
                ids = {"id": len(annotations) + 1, "image_id": image_id}
                annotations.append({"iscrowd": 0, **part, **ids})
        images = [{**image, "id": image_id} for image_id, image in enumerate(self.images, 1)]
        categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
        lists = {"images": images, "annotations": annotations, "categories": categories}
        write_json(path, {**_MARK, **lists})
        counts = [len(objects) for objects in self.objects]
        dropped = "".join(f"; left out: {n} {what}" for what, n in self.dropped.items())
        return (
            f"wrote '{path}': {len(images)} images ({counts.count(0)} without objects), "
            f"{sum(counts)} objects, at most {max(counts, default=0)} in an image{dropped}"
        )


def split_by_seed(split: Split, val_fraction: float, seed: int) -> dict[str, Split]:
    """Part images at random into ``train`` and ``val``, where a set has no split of its own.

    Raises:
        ValueError: If a part would have no image.
    """
    count = len(split.images)
    chosen = set(select_fraction(count, val_fraction, seed))
    if not 0 < len(chosen) < count:
        raise ValueError(
            f"val_fraction={val_fraction} of {count} images leaves no image for train or val: "
            "give another, or files that are split already."
        )
    parts = {
        "train": split.choose(i for i in range(count) if i not in chosen),
        "val": split.choose(sorted(chosen)),
    }
    parts["train"].dropped = split.dropped
    return parts


def is_ours(path: Path) -> bool:
    """Say whether a json was written by :meth:`Split.write`."""
    mark = json.dumps(_MARK)[:-1].encode()
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def check_targets(out: Path, names: Iterable[str], sources: Iterable[Path]) -> None:
    """Refuse to replace a file that is read, or a json that this package did not write.

    Args:
        out: Folder to write to.
        names: Of the files to be written into its ``annotations``.
        sources: Files that are read.

    Raises:
        ValueError: Naming the file.
    """
    read = {path.resolve() for path in sources}
    for name in names:
        target = out / "annotations" / name
        if target.resolve() in read:
            why = "is the file to be converted"
        elif target.exists() and not is_ours(target):
            why = "was not written by a converter of attnseg"
        else:
            continue
        raise ValueError(
            f"'{target}' {why}, and would be replaced: give another folder to write to "
            "(--out FOLDER)."
        )
