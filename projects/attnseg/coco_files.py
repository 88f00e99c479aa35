"""Reading of COCO-form json files and panoptic PNGs, for data sets and metrics alike."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import numpy as np
from mmengine.fileio import get, get_text
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from attnseg.coco_objects import complete_object
from attnseg.coco_values import wrong_value
from attnseg.compat import rgb2id
from attnseg.errors import InputError

_IDENTITY = {
    "image": ("id", "height", "width"),
    "category": ("id", "name"),
    "annotation": ("image_id",),
    "segment": ("id", "category_id"),
}


def read_coco_json(
    path: str, form: str, need: Collection[str] = (), by_id: bool = False
) -> dict[str, Any]:
    """Read a COCO-form file and check all of it.

    Objects of instance files that lack ``area`` or ``bbox`` get them from their segmentation.

    Args:
        path: Path or URL of the file.
        form: ``instances`` or ``panoptic``.
        need: What the caller reads beyond ids, names and sizes: ``annotations`` (the list itself;
            test splits have none), or keys such as ``image.file_name``,
            ``annotation.segmentation`` and ``segment.bbox``.
        by_id: Take ``annotations`` also as an object ``{id: annotation}``, as in some files of
            LIVECell.

    Returns:
        The content; ``annotations`` is empty where the file has none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Naming the file, if it is not JSON, lacks a list, is of the other form, an id
            stands twice, or an entry lacks a key, has a value of another type, or names a
            category or image that the file does not list; naming the entry and the key.
    """
    data = _read_lists(path, form, need, by_id)
    required = {
        what: frozenset((*keys, *(n.partition(".")[2] for n in need if n.startswith(f"{what}."))))
        for what, keys in _IDENTITY.items()
    }
    for what, key in (("image", "images"), ("category", "categories")):
        items = data[key]
        _check_keys(path, what, items, required[what])
        _check_twice(path, f"several {key} have", (item["id"] for item in items))
    _check_form(path, data, form)
    annotations = data["annotations"]
    if form == "panoptic":
        _check_keys(path, "annotation", annotations, required["annotation"])
        _check_twice(path, "several annotations have image", (a["image_id"] for a in annotations))
        for ann in annotations:
            where = f"segment of image_id {ann['image_id']}, with id"
            _check_keys(path, where, ann["segments_info"], required["segment"])
            own = f"image_id {ann['image_id']}: several segments have"
            _check_twice(path, own, (part["id"] for part in ann["segments_info"]))
    else:
        _check_keys(path, "annotation", annotations, required["annotation"] | {"category_id"})
    _check_references(path, data, form)
    if form == "instances":
        _complete(path, data)
    return data


def _read_lists(path: str, form: str, need: Collection[str], by_id: bool) -> dict[str, Any]:
    try:
        data = json.loads(get_text(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"annotation file '{path}' does not exist; expected a COCO {form} json (ann_file)."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"annotation file '{path}' is not valid JSON: {error}.") from error
    content = data if isinstance(data, dict) else {}
    missing = [key for key in ("images", "categories") if not content.get(key)]
    if "annotations" in need and "annotations" not in content:
        missing.append("annotations")
    if missing:
        raise ValueError(
            f"annotation file '{path}' has no {' and no '.join(missing)}: a COCO-form file needs "
            "the lists images, annotations and categories."
        )
    content.setdefault("annotations", [])
    if by_id and isinstance(content["annotations"], dict):
        content["annotations"] = list(content["annotations"].values())
    for key in ("images", "annotations", "categories"):
        if not isinstance(content[key], list):
            raise ValueError(
                f"annotation file '{path}': '{key}' is a {type(content[key]).__name__}, expected "
                "a list."
            )
    return content


def _check_keys(path: str, what: str, items: Any, required: frozenset[str]) -> None:
    if not isinstance(items, list):
        raise ValueError(f"annotation file '{path}': {what}: expected a list, got {items!r:.80}.")
    for position, item in enumerate(items):
        if not isinstance(item, dict):
            raise ValueError(
                f"annotation file '{path}': {what} at position {position} is {item!r:.80}, "
                "expected an object with the keys " + ", ".join(sorted(required)) + "."
            )
        name = f"{what} {item.get('id', f'at position {position}')!s:.80}"
        if not required <= item.keys():
            lacking = ", ".join(f"'{key}'" for key in sorted(required - item.keys()))
            raise ValueError(
                f"annotation file '{path}': {name} lacks {lacking}: add it, or remove the "
                f"{what.split()[0]}."
            )
        if wrong := wrong_value(item, what.split()[0]):
            key, needed = wrong
            raise ValueError(
                f"annotation file '{path}': {name} has the {key} {item[key]!r:.80}, expected "
                f"{needed}. Correct the file."
            )


def _check_twice(path: str, who: str, ids: Iterable[Any]) -> None:
    twice = [found for found, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(
            f"annotation file '{path}': {who} the id {_first(twice)}: only one of them would be "
            "read. Give each an id of its own, or remove the repetitions."
        )


def _check_form(path: str, data: Mapping[str, Any], form: str) -> None:
    panoptic = form == "panoptic"
    for position, ann in enumerate(data["annotations"]):
        if isinstance(ann, dict) and ("segments_info" in ann) != panoptic:
            other = "instances" if panoptic else "panoptic"
            name = ann.get("id", f"at position {position}")
            raise ValueError(
                f"annotation file '{path}' is of the {other} form (annotation {name} has "
                f"{'no' if panoptic else 'the key'} 'segments_info'), the {form} form is needed: "
                f"give ann_file the {form} file of the data set."
            )
    without = [c["name"] for c in data["categories"] if "isthing" not in c]
    if panoptic and without:
        raise ValueError(
            f"annotation file '{path}': categories {without[:10]} do not say 'isthing' (1 for "
            "things, 0 for stuff), which panoptic files must."
        )


def _check_references(path: str, data: Mapping[str, Any], form: str) -> None:
    categories = {category["id"] for category in data["categories"]}
    images = {image["id"] for image in data["images"]}
    strangers: set[Any] = set()
    lost: set[Any] = set()
    for ann in data["annotations"]:
        if ann["image_id"] not in images:
            lost.add(ann["image_id"])
        for part in ann["segments_info"] if form == "panoptic" else (ann,):
            if part["category_id"] not in categories:
                strangers.add(part["category_id"])
    if strangers:
        raise ValueError(
            f"annotation file '{path}': objects have category_id {_first(strangers)}, but "
            f"its categories have only the ids {sorted(categories)}. Add the categories, or "
            "correct the ids of the objects."
        )
    if lost:
        raise ValueError(
            f"annotation file '{path}': annotations of image_id {_first(lost)}, "
            "which are not among its images. Add the images or remove the annotations."
        )


def _first(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda value: (str(type(value)), value))[:10]


def _complete(path: str, data: Mapping[str, Any]) -> None:
    """Check the masks of instances, and measure what an object does not say."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    for position, ann in enumerate(data["annotations"]):
        name = f"annotation file '{path}': annotation {ann.get('id', f'at position {position}')}"
        complete_object(ann, sizes[ann["image_id"]], name)


def check_image_name(
    img_id: Any, path: str | None, listed: str | None, source: str, suffix: bool = True
) -> None:
    """Refuse an image that has another file name than the one which a file lists for its id.

    Ids of other data sets and splits often coincide; by the id alone, an image would get the truth
    of another one. Folders are not compared.

    Args:
        img_id: Id by which the two were paired.
        path: Path of the image; nothing is compared where it is empty or None.
        listed: The file's name of the image; nothing is compared where it is empty or None.
        source: What lists it, for the error: a quoted path.
        suffix: Whether ``.jpg`` and ``.png`` of one stem are different images.

    Raises:
        ValueError: If the names differ.
    """
    own, expected = (re.split(r"[/\\]", str(name or ""))[-1] for name in (path, listed))
    if not own or not expected or own == expected:
        return
    if suffix or PurePath(own).stem != PurePath(expected).stem:
        raise ValueError(
            f"image id {img_id!r} is '{expected}' in {source}, but the image with this id is "
            f"'{path}': they are of different data sets or splits. Give the annotation file of "
            "this image's data set; evaluate data sets whose ids coincide one by one."
        )


def read_segment_ids(path: str) -> NDArray[np.int32]:
    """Read a panoptic PNG: segment id = R + 256 G + 65536 B, 0 is void.

    Args:
        path: Path or URL of the file.

    Returns:
        Ids (H, W).

    Raises:
        FileNotFoundError: If the file is missing.
        InputError: Naming the file, if it cannot be decoded, or is not 8-bit RGB.
    """
    try:
        data = get(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(f"panoptic PNG '{path}' does not exist.") from error

    def check(image: Image.Image) -> None:
        if image.mode != "RGB":
            raise InputError(
                f"panoptic PNG '{path}' has mode {image.mode}; expected 8-bit RGB with segment ids "
                "as R + 256 G + 65536 B."
            )

    try:
        return rgb2id(decode_image(data, check))
    except DamagedImage as error:
        raise InputError(f"panoptic PNG '{path}' cannot be decoded: it is {error}.") from error


class DamagedImage(ValueError):
    """An image that cannot be decoded whole; the text says why, without a name."""


def decode_image(data: bytes, check: Callable[[Image.Image], None]) -> NDArray[Any]:
    """Decode an image file with every checksum verified.

    Pillow alone decodes a file whose end is missing without a word.

    Args:
        data: The file.
        check: Is given format, mode and size before anything is decoded; what it raises is
            passed on.

    Returns:
        Pixels (H, W) or (H, W, channels).

    Raises:
        DamagedImage: If the file is damaged or no image.
    """
    with _decoding():
        image = Image.open(io.BytesIO(data))
    check(image)
    with _decoding():
        image.verify()
        with Image.open(io.BytesIO(data)) as whole:
            return np.asarray(whole)


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedImage(f"damaged or no image ({error})") from error


def relabel(
    ids: NDArray[np.integer], table: Mapping[int, int], other: int, dtype: DTypeLike
) -> NDArray[Any]:
    """Replace each id of a map by its entry in a table.

    Args:
        ids: Segment ids (H, W).
        table: Value of each id.
        other: Value of ids that the table lacks.
        dtype: Type of the result.

    Returns:
        Values (H, W).
    """
    present, inverse = np.unique(ids, return_inverse=True)
    values = np.array([table.get(segment, other) for segment in present.tolist()], dtype)
    return values[inverse.reshape(ids.shape)]
