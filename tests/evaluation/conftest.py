"""Small generated data sets and data samples for the metrics."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attnseg.compat import id2rgb


def _rle(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as tools

    rle = tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


@pytest.fixture(scope="session")
def rle() -> Callable[[np.ndarray], dict[str, Any]]:
    """Encode a mask as a json file holds it, by pycocotools."""
    return _rle


@pytest.fixture(scope="session")
def instances_json(data_root: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """coco_mini's val annotations, or generated boxes with crowds where there is no data."""
    if data_root is not None:
        return data_root / "coco_mini" / "annotations" / "instances_val2017.json"
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for img_id in range(1, 31):
        height, width = int(rng.integers(60, 300)), int(rng.integers(60, 300))
        images.append({"id": img_id, "height": height, "width": width, "file_name": f"{img_id}"})
        for _ in range(int(rng.integers(0, 15))):
            y, x = int(rng.integers(0, height - 4)), int(rng.integers(0, width - 4))
            h, w = int(rng.integers(1, height - y)), int(rng.integers(1, width - x))
            mask = np.zeros((height, width), dtype=bool)
            mask[y : y + h, x : x + w] = True
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": img_id,
                    "category_id": int(rng.integers(1, 6)) * 3,
                    "iscrowd": int(rng.random() < 0.1),
                    "area": float(mask.sum()),
                    "bbox": [x, y, w, h],
                    "segmentation": _rle(mask),
                }
            )
    categories = [{"id": 3 * i, "name": f"class {i}"} for i in range(1, 6)]
    path = tmp_path_factory.mktemp("instances") / "instances.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


@pytest.fixture
def panoptic_files(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Write a panoptic data set; returns the arguments ``ann_file`` and ``seg_prefix``."""

    def write(
        maps: dict[int, np.ndarray],
        segments: dict[int, list[tuple[int, int, int]]],
        categories: list[tuple[int, str, int]],
    ) -> dict[str, str]:
        """Segments are (id, category id, iscrowd), categories (id, name, isthing)."""
        folder = tmp_path / "panoptic"
        folder.mkdir(exist_ok=True)
        images, annotations = [], []
        for img_id, ids in maps.items():
            Image.fromarray(np.asarray(id2rgb(ids), dtype=np.uint8)).save(folder / f"{img_id}.png")
            height, width = ids.shape
            name = f"{img_id}.jpg"
            images.append({"id": img_id, "height": height, "width": width, "file_name": name})
            infos = [
                {"id": i, "category_id": c, "iscrowd": crowd, "area": int((ids == i).sum())}
                for i, c, crowd in segments[img_id]
            ]
            annotations.append(
                {"image_id": img_id, "file_name": f"{img_id}.png", "segments_info": infos}
            )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": i, "name": n, "isthing": t} for i, n, t in categories],
        }
        (tmp_path / "panoptic.json").write_text(json.dumps(content))
        return {"ann_file": str(tmp_path / "panoptic.json"), "seg_prefix": str(folder)}

    return write


@pytest.fixture(scope="session")
def evaluate() -> Callable[..., dict[str, float]]:
    """Run a metric over samples and return its values without the prefix."""

    def run(metric: Any, classes: Any, samples: list[dict], **meta: Any) -> dict[str, float]:
        metric.dataset_meta = {"classes": classes, **meta}
        for sample in samples:
            metric.process(None, [sample])
        values = metric.evaluate(len(samples))
        assert all(isinstance(value, float) for value in values.values())
        return {key.removeprefix(f"{metric.prefix}/"): value for key, value in values.items()}

    return run
