"""Cells in the forms in which data sets publish them, written small by tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from mmengine.config import Config
from numpy.typing import NDArray

from attnseg.datasets import CocoInstanceDataset

from .conftest import box_object

REPO = Path(__file__).resolve().parents[2]
# Height and width of LIVECell, which is not square, in small.
SIZE = (52, 70)
BOXES = ([4, 6, 10, 8], [30, 20, 12, 12], [50, 35, 20, 17])


def cell_map(size: tuple[int, int] = SIZE, boxes: Sequence[Sequence[int]] = BOXES) -> NDArray[Any]:
    """Label map (H, W) of filled boxes x, y, width, height, numbered from 1 on."""
    ids = np.zeros(size, np.uint16)
    for number, (x, y, width, height) in enumerate(boxes, 1):
        ids[y : y + height, x : x + width] = number
    return ids


def write_gray(path: Path, size: tuple[int, int] = SIZE, kind: Any = np.uint8) -> None:
    """Write a random gray image, TIFF by tifffile and others by OpenCV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, size, kind)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, image)
    else:
        cv2.imwrite(str(path), image)


def coco(names: Sequence[str], categories: Sequence[str] = ("cell",)) -> dict[str, Any]:
    """Images of ``SIZE``, each with ``BOXES`` as polygons; categories in turn."""
    images, annotations = [], []
    for image_id, name in enumerate(names, 11):
        images.append({"id": image_id, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        for number, box in enumerate(BOXES):
            category = 1 + number % len(categories)
            annotations.append(box_object(100 * image_id + number, image_id, category, [*box]))
    listed = [{"id": i, "name": name} for i, name in enumerate(categories, 1)]
    return {"images": images, "annotations": annotations, "categories": listed}


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a json file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def load(name: str, split: str, root: Path) -> CocoInstanceDataset:
    """Build a split of ``<name>_cells.py`` on ``root``, with masks as they are in the file."""
    cfg = Config.fromfile(REPO / f"configs/_base_/datasets/{name}_cells.py")
    settings = {**cfg[f"{split}_dataloader"].dataset, "data_root": str(root)}
    settings.pop("type")
    return CocoInstanceDataset(**settings)


def evaluator_files(name: str, split: str, root: Path) -> set[str]:
    """The truth files of the evaluators of a split, with ``root`` for the data folder."""
    cfg = Config.fromfile(REPO / f"configs/_base_/datasets/{name}_cells.py")
    return {m.ann_file.replace(cfg.data_root, f"{root}/") for m in cfg[f"{split}_evaluator"]}
