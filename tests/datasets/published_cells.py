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

from .objects import box_object

REPO = Path(__file__).resolve().parents[2]
# Height and width of LIVECell, which is not square, in small.
SIZE = (52, 70)
BOXES: Sequence[list[int]] = ([4, 6, 10, 8], [30, 20, 12, 12], [50, 35, 20, 17])


def cell_map(size: tuple[int, int] = SIZE, boxes: Sequence[Sequence[int]] = BOXES) -> NDArray[Any]:
    """Label map (H, W) of filled boxes x, y, width, height, numbered from 1 on."""
    ids = np.zeros(size, np.uint16)
    for number, (x, y, width, height) in enumerate(boxes, 1):
        ids[y : y + height, x : x + width] = number
    return ids


def write_image(path: Path, size: tuple[int, ...] = SIZE, kind: str = "uint8") -> None:
    """Write a random image (gray if ``size`` is two numbers), TIFF by tifffile, else by OpenCV."""
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


def write_livecell(root: Path) -> Path:
    """Images in a folder a cell type; annotations of test are an object by id; no val split."""
    kinds = ("A172", "BT474")
    for split, folder in (("train", "livecell_train_val_images"), ("test", "livecell_test_images")):
        names = [f"{kind}_Phase_{split}_1_00d00h00m_1.tif" for kind in kinds]
        for kind, name in zip(kinds, names, strict=True):
            write_image(root / "images" / folder / kind / name)
        content = coco(names)
        if split == "test":
            content["annotations"] = {str(a["id"]): a for a in content["annotations"]}
        write_json(root / f"annotations/LIVECell/livecell_coco_{split}.json", content)
    return root


def write_evican(root: Path) -> Path:
    """All five files; cells and nuclei in turn."""
    splits = {"train2019": "train", "val2019": "val"}
    splits |= {f"eval2019_{level}": "eval" for level in ("easy", "medium", "difficult")}
    for split, folder in splits.items():
        name = f"{split}_ACHN.jpg"
        write_image(root / f"EVICAN_{folder}2019" / name)
        write_json(root / f"instances_{split}_EVICAN2.json", coco([name], ("Cell", "Nucleus")))
    return root


def write_revvity(root: Path) -> Path:
    """Ten images and one json."""
    names = [f"{number}.png" for number in range(10)]
    for name in names:
        write_image(root / "images" / name)
    write_json(root / "annotations.json", coco(names))
    return root


def write_neurips_cellseg(root: Path) -> Path:
    """Four images of the set's mixed kinds for training, two for tuning, one of them empty."""
    kinds = ((".png", 8, 3), (".bmp", 8, 1), (".tif", 16, 1), (".tiff", 8, 3))
    for number, (suffix, bits, channels) in enumerate(kinds):
        stem = f"cell_{number:05}"
        write_pair(root / "Training-labeled", stem, suffix, f"uint{bits}", channels)
    write_pair(root / "Tuning", "cell_00001")
    write_pair(root / "Tuning", "cell_00002", ids=np.zeros(SIZE, np.uint16))
    return root


def write_pair(
    folder: Path,
    stem: str,
    suffix: str = ".png",
    kind: str = "uint8",
    channels: int = 3,
    ids: NDArray[Any] | None = None,
) -> None:
    """Write an image and its label map; cells are those of ``cell_map`` if not given."""
    ids = cell_map() if ids is None else ids
    size = (*ids.shape, channels) if channels > 1 else ids.shape
    write_image(folder / "images" / f"{stem}{suffix}", size, kind)
    (folder / "labels").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "labels" / f"{stem}_label.tiff", ids)


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
