"""Published COCO-form annotations of cells -> files that our data sets read, all of it checked."""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import track_iter_progress
from pycocotools import mask as rle_tools

from ...coco_files import read_coco_json
from ..checks import select_fraction
from ..coco_json import group_by_image
from .files import write_json
from .image_files import ImageFiles, check_size, read_size

_NEED = ("annotations", "image.file_name", "annotation.segmentation")


@dataclass
class Split:
    """Images and objects of one split, in COCO form.

    Attributes:
        images: With ``file_name``, ``height`` and ``width``.
        objects: Those of each image, in the order of ``images``; ids are given on writing.
        dropped: Why objects were left out, and how many.
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
        write_json(path, {"images": images, "annotations": annotations, "categories": categories})
        counts = [len(objects) for objects in self.objects]
        dropped = "".join(f"; left out: {n} objects {why}" for why, n in self.dropped.items())
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


def read_published(path: Path) -> dict[str, Any]:
    """Read a COCO instances json, also one whose annotations are an object ``{id: annotation}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming the file, as :func:`~attnseg.coco_files.read_coco_json`; if an image
            id stands twice; or if there is no annotation.
    """
    text = path.read_text() if path.is_file() else ""
    if re.search(r'"annotations"\s*:\s*\{', text):
        content = json.loads(text)
        content["annotations"] = list(content["annotations"].values())
        with tempfile.TemporaryDirectory() as folder:
            as_list = Path(folder, path.name)
            as_list.write_text(json.dumps(content))
            del content
            try:
                content = read_coco_json(str(as_list), "instances", _NEED)
            except ValueError as error:
                raise ValueError(str(error).replace(str(as_list), str(path))) from error
    else:
        content = read_coco_json(str(path), "instances", _NEED)
    ids = Counter(image["id"] for image in content["images"])
    twice = [image_id for image_id, count in ids.items() if count > 1]
    if twice:
        raise ValueError(f"annotation file '{path}': several images have the id {twice[:5]}.")
    if not content["annotations"]:
        raise ValueError(f"annotation file '{path}' has no annotation: it is no split with cells.")
    return content


def convert_published(
    path: Path,
    files: ImageFiles,
    classes: Sequence[str],
    merge: bool = False,
    keep: Callable[[str], bool] = lambda name: True,
) -> Split:
    """Read one published json and check it against the image files.

    Polygons of fewer than three points, and objects of which no pixel is in the image, are left
    out and counted: mmdet would leave them out without a word.

    Args:
        path: The json.
        files: Where its images are.
        classes: Names of the classes, in lower case. Category names are compared without regard
            to case; where there is one class and one category, its name is of no concern.
        merge: Make all categories the first class.
        keep: Whether to take the image of a listed name.

    Raises:
        FileNotFoundError: Naming the images that are missing.
        ValueError: Naming the file, if it is damaged, has other classes, or an image has another
            size than it says.
    """
    content = read_published(path)
    numbers = _category_numbers(path, content, classes, merge)
    images = [image for image in content["images"] if keep(image["file_name"])]
    found = {image["id"]: files.find(image["file_name"]) for image in images}
    missing = [image["file_name"] for image in images if found[image["id"]] is None]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(images)} images that '{path}' lists are not below "
            f"'{files.folder}', the first is '{missing[0]}': unpack all images there."
        )
    groups = group_by_image(content, "instances")
    split = Split()
    for image in track_iter_progress(images):
        picture = found[image["id"]]
        size = read_size(picture)
        check_size(picture, size, path, (image["height"], image["width"]))
        objects = []
        for part in groups[image["id"]]:
            owner = f"'{path}', annotation {part.get('id')} of image '{image['file_name']}'"
            trouble, clean = _clean(part, size, owner)
            if trouble:
                split.dropped[trouble] += 1
            else:
                objects.append({**clean, "category_id": numbers[part["category_id"]]})
        listed = {"file_name": files.relative(picture), "height": size[0], "width": size[1]}
        split.add(listed, objects)
    return split


def _category_numbers(
    path: Path, content: Mapping[str, Any], classes: Sequence[str], merge: bool
) -> dict[int, int]:
    """Number from 1 of the class of each category that objects have."""
    used = {part["category_id"] for part in content["annotations"]}
    names = {c["id"]: str(c["name"]).lower() for c in content["categories"] if c["id"] in used}
    if merge or len(classes) == len(names) == 1:
        return dict.fromkeys(names, 1)
    unknown = sorted(name for name in names.values() if name not in classes)
    if unknown:
        raise ValueError(
            f"annotation file '{path}' has objects of the categories {unknown}; expected "
            f"{tuple(classes)}. Give the file of this data set, or make all one class (--merge)."
        )
    return {number: 1 + list(classes).index(name) for number, name in names.items()}


def _clean(
    part: Mapping[str, Any], size: tuple[int, int], owner: str
) -> tuple[str, dict[str, Any]]:
    """Why an object has to be left out, or an empty text, and what of it is written."""
    segmentation = part["segmentation"]
    if isinstance(segmentation, Mapping):
        if tuple(segmentation["size"]) != size:
            raise ValueError(
                f"{owner}: its mask is {'x'.join(map(str, segmentation['size']))}, the image "
                f"{size[0]}x{size[1]} (height x width): both must have one size."
            )
        segmentation = _compress(segmentation, size, owner)
        if not rle_tools.area(segmentation):
            return "with an empty mask", {}
    else:
        segmentation = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0]
        if not all(np.isfinite(polygon).all() for polygon in segmentation):
            raise ValueError(f"{owner}: its polygon has points that are no numbers.")
        if not segmentation:
            return "without a polygon of three points", {}
    x, y, width, height = part["bbox"]
    inside = min(x + width, size[1]) > max(x, 0) and min(y + height, size[0]) > max(y, 0)
    if part["area"] <= 0 or width < 1 or height < 1 or not inside:
        return "smaller than a pixel or outside the image", {}
    return "", {
        "segmentation": segmentation,
        "area": part["area"],
        "bbox": part["bbox"],
        "iscrowd": int(part.get("iscrowd", 0)),
    }


def _compress(segmentation: Mapping[str, Any], size: tuple[int, int], owner: str) -> dict[str, Any]:
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if sum(counts) != size[0] * size[1]:
            raise ValueError(f"{owner}: the runs of its mask do not fill the image.")
        counts = rle_tools.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"]
    return {
        "size": list(size),
        "counts": counts.decode() if isinstance(counts, bytes) else counts,
    }
