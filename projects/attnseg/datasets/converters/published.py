"""Published COCO-form annotations of cells -> files that our data sets read, all of it checked."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.utils import track_iter_progress
from pycocotools import mask as rle_tools

from ...coco_files import read_coco_json
from ...coco_objects import measure_object, usable_polygons
from ...file_names import check_names
from ...rle import mask_area, run_lengths
from ..coco_json import group_by_image
from .image_files import ImageFiles, check_size, read_size
from .split import Split

_NEED = ("annotations", "image.file_name", "annotation.segmentation")


def read_published(path: Path) -> dict[str, Any]:
    """Read a COCO instances json, also one whose annotations are an object ``{id: annotation}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming the file, as :func:`~attnseg.coco_files.read_coco_json`; if an image
            has no file name or its id stands twice; or if there is no annotation.
    """
    content = read_coco_json(str(path), "instances", _NEED, by_id=True)
    names = (image["file_name"] for image in content["images"])
    check_names(names, f"annotation file '{path}'", "the folder of images", "Correct the file.")
    if not content["annotations"]:
        raise ValueError(f"annotation file '{path}' has no annotation: it is no split with cells.")
    return content


def convert_published(
    path: Path,
    files: ImageFiles,
    classes: Sequence[str],
    merge: bool = False,
    choose: Callable[[Sequence[str]], Sequence[str]] = lambda names: names,
) -> Split:
    """Read one published json and check it against the image files.

    Polygons of fewer than three points, objects of which no pixel is in the image (by mask and by
    box), and repetitions of an annotation with its id are left out and counted: mmdet would leave
    out the former without a word and train on the latter. Published areas and boxes are kept; an
    object that loses one of its polygons is measured again by the others.

    Args:
        path: The json.
        files: Where its images are.
        classes: Names of the classes, in lower case. Category names are compared without regard
            to case; where there is one class and one category, its name is of no concern.
        merge: Make all categories the first class.
        choose: Those of the listed names whose images are taken.

    Raises:
        FileNotFoundError: Naming the images that are missing.
        ValueError: Naming the file, if it is damaged, has other classes, or an image has another
            size than it says.
    """
    content = read_published(path)
    numbers = _category_numbers(path, content, classes, merge)
    chosen = set(choose([image["file_name"] for image in content["images"]]))
    images = [image for image in content["images"] if image["file_name"] in chosen]
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
        seen: dict[Any, Mapping[str, Any]] = {}
        for part in groups[image["id"]]:
            if seen.get(part.get("id")) == part:
                split.dropped["annotations listed twice"] += 1
                continue
            seen[part.get("id")] = part
            owner = f"'{path}', annotation {part.get('id')} of image '{image['file_name']}'"
            clean = _clean(part, size, owner, split.dropped)
            if clean:
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
    part: Mapping[str, Any], size: tuple[int, int], owner: str, dropped: Counter[str]
) -> dict[str, Any] | None:
    """What of an object is written, or None; what is left out is counted in ``dropped``."""
    measured = {"area": part["area"], "bbox": part["bbox"]}
    segmentation = part["segmentation"]
    if isinstance(segmentation, Mapping):
        try:
            runs = run_lengths(segmentation, size)
        except ValueError as error:
            raise ValueError(f"{owner}: {error}. Correct it, or remove the annotation.") from error
        if not mask_area(runs):
            dropped["objects with an empty mask"] += 1
            return None
        segmentation = _compress(segmentation, size)
    else:
        polygons = usable_polygons(segmentation, owner)
        if not polygons:
            dropped["objects without a polygon of three points"] += 1
            return None
        seen = measure_object(polygons, size, owner)
        if len(polygons) < len(segmentation):
            dropped["polygons without three points, of objects that have others"] += len(
                segmentation
            ) - len(polygons)
            measured = seen
        elif not seen["area"]:
            measured["area"] = 0
        segmentation = polygons
    x, y, width, height = measured["bbox"]
    inside = min(x + width, size[1]) > max(x, 0) and min(y + height, size[0]) > max(y, 0)
    if measured["area"] <= 0 or width < 1 or height < 1 or not inside:
        dropped["objects smaller than a pixel or outside the image"] += 1
        return None
    return {"segmentation": segmentation, **measured, "iscrowd": int(part.get("iscrowd", 0))}


def _compress(segmentation: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    counts = segmentation["counts"]
    if isinstance(counts, list):
        code = rle_tools.frPyObjects({"size": list(size), "counts": counts}, *size)
        counts = code["counts"].decode()
    return {"size": list(size), "counts": counts}
