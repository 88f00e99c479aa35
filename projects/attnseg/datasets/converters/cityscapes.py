"""Cityscapes gtFine -> COCO panoptic json and PNG, COCO instances jsons, and maps of trainIds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.utils import track_iter_progress
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from ...compat import id2rgb
from ..panoptic_png import measure
from .files import write_json, write_png

# Name, labelId in gtFine, is it a thing; the position is the trainId.
CLASSES: tuple[tuple[str, int, bool], ...] = (
    ("road", 7, False),
    ("sidewalk", 8, False),
    ("building", 11, False),
    ("wall", 12, False),
    ("fence", 13, False),
    ("pole", 17, False),
    ("traffic light", 19, False),
    ("traffic sign", 20, False),
    ("vegetation", 21, False),
    ("terrain", 22, False),
    ("sky", 23, False),
    ("person", 24, True),
    ("rider", 25, True),
    ("car", 26, True),
    ("truck", 27, True),
    ("bus", 28, True),
    ("train", 31, True),
    ("motorcycle", 32, True),
    ("bicycle", 33, True),
)
# Name in the COCO form of street scenes -> name in CLASSES, in the order of the labels.
STREET_CLASSES = {
    "car": "car",
    "pedestrian": "person",
    "truck": "truck",
    "bus": "bus",
    "rider": "rider",
}
_TRAIN_ID = {label_id: train_id for train_id, (_, label_id, _) in enumerate(CLASSES)}
_IMAGE, _IDS = "_leftImg8bit.png", "_gtFine_instanceIds.png"
_LABELS, _TRAIN = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"


def segments_of(ids: NDArray[Any]) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
    """Find the panoptic segments of an ``instanceIds`` map.

    A value of 1000 and more is ``labelId * 1000 + number``, one object; below, it is a labelId:
    stuff, or a group of things without borders between them (``iscrowd=1``). LabelIds outside
    the 19 classes are void.

    Args:
        ids: (H, W) values of the file.

    Returns:
        Segment ids (H, W), the values of the file with void as 0; and the segments, as COCO's
        panoptic form lists them, with the trainId as category id.
    """
    segments, clean = [], np.zeros(ids.shape, np.int32)
    for value in np.unique(ids).tolist():
        train_id = _TRAIN_ID.get(value // 1000 if value >= 1000 else value)
        if train_id is None:
            continue
        mask = ids == value
        clean[mask] = value
        crowd = int(CLASSES[train_id][2] and value < 1000)
        segments.append({"id": value, "category_id": train_id, **measure(mask), "iscrowd": crowd})
    return clean, segments


def train_id_map(label_ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn labelIds (H, W) into trainIds 0 to 18; labels outside the 19 classes are 255."""
    present, inverse = np.unique(label_ids, return_inverse=True)
    table = np.array([_TRAIN_ID.get(value, 255) for value in present.tolist()], np.uint8)
    return table[inverse.reshape(label_ids.shape)]


def convert_cityscapes(
    root: str | Path, out: str | Path | None = None, splits: Sequence[str] = ("train", "val")
) -> list[Path]:
    """Convert ``gtFine`` of each split that is there.

    Writes ``annotations/panoptic_<split>.json`` with the folder ``annotations/panoptic_<split>``
    and ``annotations/instances_<split>.json`` (the 8 things, crowds included);
    ``annotations/street_<split>.json``, of these the five classes of CSPAM-SOLOv2 (Sec. 3: cars,
    pedestrians, trucks, buses, riders); and, for semantic segmentation,
    ``gtFine/<split>/<city>/*_gtFine_labelTrainIds.png`` where ``root`` has none, from ``labelIds``
    or, without them, from ``instanceIds``. Such maps are never overwritten.

    Args:
        root: Folder with ``leftImg8bit`` and ``gtFine``.
        out: Folder to write to; ``root`` if left out.
        splits: Splits to convert; those without a folder in ``gtFine`` are left out.

    Returns:
        The json files written.

    Raises:
        FileNotFoundError: If a folder, or the annotation of an image, is missing.
        ValueError: If image and annotation differ in size or cannot be decoded.
    """
    root, out = Path(root), Path(out or root)
    present = [split for split in splits if (root / "gtFine" / split).is_dir()]
    if not present:
        raise FileNotFoundError(
            f"'{root / 'gtFine'}' has no folder {' or '.join(splits)}: give the folder of "
            "Cityscapes that holds leftImg8bit and gtFine (gtFine_trainvaltest.zip unpacked)."
        )
    written: list[Path] = []
    for split in present:
        pictures = sorted((root / "leftImg8bit" / split).glob(f"*/*{_IMAGE}"))
        if not pictures:
            raise FileNotFoundError(
                f"no image */*{_IMAGE} below '{root / 'leftImg8bit' / split}': unpack "
                "leftImg8bit_trainvaltest.zip there."
            )
        written += _convert_split(root, out, split, pictures)
    return written


def _convert_split(root: Path, out: Path, split: str, pictures: Sequence[Path]) -> list[Path]:
    images: list[dict[str, Any]] = []
    panoptic: list[dict[str, Any]] = []
    annotations = out / "annotations"
    instances: list[dict[str, Any]] = []
    for picture in track_iter_progress(pictures):
        city, stem = picture.parent.name, picture.name.removesuffix(_IMAGE)
        fine = Path("gtFine", split, city)
        ids = _read_ids(picture, root / fine / f"{stem}{_IDS}")
        train_ids = fine / f"{stem}{_TRAIN}"
        if not (root / train_ids).exists() and not (out / train_ids).exists():
            labels = _label_ids(root / fine / f"{stem}{_LABELS}", ids, picture)
            write_png(out / train_ids, train_id_map(labels))
        clean, segments = segments_of(ids)
        image_id = len(images) + 1
        images.append(
            {
                "id": image_id,
                "file_name": f"{city}/{picture.name}",
                "height": ids.shape[0],
                "width": ids.shape[1],
            }
        )
        name = f"{stem}_panoptic.png"
        write_png(annotations / f"panoptic_{split}" / name, id2rgb(clean)[..., ::-1])
        panoptic.append({"image_id": image_id, "file_name": name, "segments_info": segments})
        instances += _instances_of(clean, segments, image_id, len(instances) + 1)
    every = [
        {"id": i, "name": name, "isthing": int(thing)} for i, (name, _, thing) in enumerate(CLASSES)
    ]
    things = [{"id": c["id"], "name": c["name"]} for c in every if c["isthing"]]
    contents = {
        "panoptic": {"images": images, "annotations": panoptic, "categories": every},
        "instances": {"images": images, "annotations": instances, "categories": things},
        "street": {"images": images, **_street_scenes(instances)},
    }
    for form, content in contents.items():
        write_json(annotations / f"{form}_{split}.json", content)
    return [annotations / f"{form}_{split}.json" for form in contents]


def _street_scenes(instances: Iterable[dict[str, Any]]) -> dict[str, Any]:
    train_ids = {name: i for i, (name, _, _) in enumerate(CLASSES)}
    ids = {train_ids[name]: i for i, name in enumerate(STREET_CLASSES.values(), 1)}
    return {
        "annotations": [
            {**part, "category_id": ids[part["category_id"]]}
            for part in instances
            if part["category_id"] in ids
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(STREET_CLASSES, 1)],
    }


def _read_ids(picture: Path, path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"'{path}', the annotation of image '{picture}', does not exist.")
    ids = _read_png(path)
    _check_size(picture, _read_png(picture).shape[:2], path, ids)
    return ids


def _label_ids(path: Path, ids: NDArray[Any], picture: Path) -> NDArray[Any]:
    if not path.is_file():
        # Without objects the file may be 8-bit, to which 1000 is too large a number.
        ids = ids.astype(np.int32)
        return np.where(ids >= 1000, ids // 1000, ids)
    labels = _read_png(path)
    _check_size(picture, ids.shape, path, labels)
    return labels


def _read_png(path: Path) -> NDArray[Any]:
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if read is None:
        raise ValueError(f"'{path}' cannot be decoded: it is damaged or no image.")
    return read


def _check_size(picture: Path, size: tuple[int, ...], path: Path, ids: NDArray[Any]) -> None:
    if ids.shape != size:
        raise ValueError(
            f"image '{picture}' is {size[0]}x{size[1]} (height x width), its annotation "
            f"'{path}' {'x'.join(map(str, ids.shape))}: both must have one size."
        )


def _instances_of(
    ids: NDArray[np.int32], segments: Iterable[dict[str, Any]], image_id: int, first: int
) -> list[dict[str, Any]]:
    things = [part for part in segments if CLASSES[part["category_id"]][2]]
    found = []
    for number, part in enumerate(things):
        rle = rle_tools.encode(np.asfortranarray((ids == part["id"]).astype(np.uint8)))
        found.append(
            {
                **part,
                "id": first + number,
                "image_id": image_id,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
            }
        )
    return found
