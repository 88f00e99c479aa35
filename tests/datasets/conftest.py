"""Small annotated files that single tests write and break."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmdet.utils import register_all_modules

from attnseg.compat import id2rgb

from .objects import box_object
from .published_cells import write_evican, write_livecell, write_revvity

SIZE = (20, 30)


@pytest.fixture(autouse=True)
def _mmdet_scope() -> None:
    register_all_modules(init_default_scope=True)


def write_image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """Write a random colour PNG of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def coco_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of instances: two images, the second without objects.

    Changes to the json are made by a function that gets its content.
    """

    def make(change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
        content: dict[str, Any] = {
            "images": [
                {"id": 7, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]},
                {"id": 9, "file_name": "b.png", "height": SIZE[0], "width": SIZE[1]},
            ],
            "annotations": [box_object(1, 7, 5, [2, 3, 8, 6]), box_object(2, 7, 3, [15, 4, 9, 9])],
            # Not in the order of the ids: the order of the file must have no influence.
            "categories": [{"id": 5, "name": "cell"}, {"id": 3, "name": "debris"}],
        }
        change(content)
        for name in ("a.png", "b.png"):
            write_image(tmp_path / "images" / name)
        (tmp_path / "annotations.json").write_text(json.dumps(content))
        return tmp_path

    return make


@pytest.fixture
def panoptic_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make one image of four segments, with things and stuff mixed in the categories.

    Left to right, eight columns each: car 300 (thing), sky 70000 (stuff), cat 5 (thing), void,
    with a crowd of cats 9 in the lower half of the void.
    """

    def make(change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
        ids = np.zeros((16, 32), np.int32)
        ids[:, :8], ids[:, 8:16], ids[:, 16:24], ids[8:, 24:] = 300, 70000, 5, 9

        def segment(number: int, category: int, x: int, crowd: int = 0) -> dict[str, Any]:
            area = int((ids == number).sum())
            box = [x, 16 - area // 8, 8, area // 8]
            return {
                "id": number,
                "category_id": category,
                "area": area,
                "bbox": box,
                "iscrowd": crowd,
            }

        content: dict[str, Any] = {
            "images": [{"id": 1, "file_name": "a.tif", "height": 16, "width": 32}],
            "annotations": [
                {
                    "image_id": 1,
                    "file_name": "a_panoptic.png",
                    "segments_info": [
                        segment(70000, 2, 8),
                        segment(300, 40, 0),
                        segment(5, 11, 16),
                        segment(9, 11, 24, crowd=1),
                    ],
                }
            ],
            "categories": [
                {"id": 40, "name": "car", "isthing": 1},
                {"id": 2, "name": "sky", "isthing": 0},
                {"id": 11, "name": "cat", "isthing": 1},
                {"id": 1, "name": "road", "isthing": 0},
            ],
        }
        change(content)
        write_image(tmp_path / "images" / "a.tif", (16, 32))
        (tmp_path / "seg").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "seg" / "a_panoptic.png"), id2rgb(ids)[..., ::-1])
        (tmp_path / "panoptic.json").write_text(json.dumps(content))
        return tmp_path

    return make


@pytest.fixture
def livecell(tmp_path):
    return write_livecell(tmp_path)


@pytest.fixture
def evican(tmp_path):
    return write_evican(tmp_path)


@pytest.fixture
def revvity(tmp_path):
    return write_revvity(tmp_path / "revvity")
