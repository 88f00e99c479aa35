"""Cityscapes gtFine -> COCO panoptic json and PNG, and COCO instances json."""

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
_TRAIN_ID = {label_id: train_id for train_id, (_, label_id, _) in enumerate(CLASSES)}
_IMAGE, _IDS = "_leftImg8bit.png", "_gtFine_instanceIds.png"


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


def convert_cityscapes(
    root: str | Path, out: str | Path | None = None, splits: Sequence[str] = ("train", "val")
) -> list[Path]:
    """Convert ``gtFine`` of each split that is there.

    Writes ``annotations/panoptic_<split>.json`` with the folder ``annotations/panoptic_<split>``
    and ``annotations/instances_<split>.json`` (the 8 things, crowds included).

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
        written += _convert_split(root, out / "annotations", split, pictures)
    return written


def _convert_split(root: Path, out: Path, split: str, pictures: Sequence[Path]) -> list[Path]:
    images: list[dict[str, Any]] = []
    panoptic: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    for picture in track_iter_progress(pictures):
        city, stem = picture.parent.name, picture.name.removesuffix(_IMAGE)
        ids = _read_ids(picture, root / "gtFine" / split / city / f"{stem}{_IDS}")
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
        write_png(out / f"panoptic_{split}" / name, id2rgb(clean)[..., ::-1])
        panoptic.append({"image_id": image_id, "file_name": name, "segments_info": segments})
        instances += _instances_of(clean, segments, image_id, len(instances) + 1)
    every = [
        {"id": i, "name": name, "isthing": int(thing)} for i, (name, _, thing) in enumerate(CLASSES)
    ]
    things = [{"id": c["id"], "name": c["name"]} for c in every if c["isthing"]]
    files = out / f"panoptic_{split}.json", out / f"instances_{split}.json"
    write_json(files[0], {"images": images, "annotations": panoptic, "categories": every})
    write_json(files[1], {"images": images, "annotations": instances, "categories": things})
    return list(files)


def _read_ids(picture: Path, path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"'{path}', the annotation of image '{picture}', does not exist.")
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    image = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    for name, read in ((path, ids), (picture, image)):
        if read is None:
            raise ValueError(f"'{name}' cannot be decoded: it is damaged or no image.")
    if ids.shape != image.shape[:2]:
        raise ValueError(
            f"image '{picture}' is {image.shape[0]}x{image.shape[1]} (height x width), its "
            f"annotation '{path}' {ids.shape[0]}x{ids.shape[1]}: both must have one size."
        )
    return ids


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
