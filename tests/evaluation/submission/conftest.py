"""Saved predictions equal to the truth, of real data where the machine has them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from attnseg.evaluation.panoptic_truth import PanopticTruth
from attnseg.evaluation.prediction_writer import PredictionWriter
from attnseg.evaluation.submission.saved import SavedPredictions, read_predictions

CITYSCAPES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
    "motorcycle", "bicycle",
)  # fmt: skip


def _predict(out: Path, samples: list[dict], classes: Any, things: Any = None) -> SavedPredictions:
    metric = PredictionWriter(str(out))
    metric.dataset_meta = {"classes": tuple(classes), "thing_classes": things}
    for sample in samples:
        metric.process(None, [sample])
    metric.evaluate(len(samples))
    return read_predictions(out)


@pytest.fixture(scope="session")
def predict() -> Callable[..., SavedPredictions]:
    """Write samples into a new folder with PredictionWriter."""
    return _predict


@pytest.fixture(scope="session")
def coco(instances_json: Path, tmp_path_factory) -> tuple[SavedPredictions, Path]:
    """All objects of COCO-form annotations that are no crowds, and the json."""
    truth = COCO(str(instances_json))
    ids = truth.getCatIds()[::-1]
    samples = []
    for image in truth.loadImgs(truth.getImgIds()):
        objects = truth.loadAnns(truth.getAnnIds([image["id"]], iscrowd=False))
        samples.append(
            {
                "img_id": image["id"],
                "img_path": f"somewhere/{image['file_name']}",
                "ori_shape": (image["height"], image["width"]),
                "pred_instances": {
                    "masks": [o["segmentation"] for o in objects],
                    "labels": np.array([ids.index(o["category_id"]) for o in objects], int),
                    "scores": np.linspace(1, 0.5, len(objects)),
                },
            }
        )
    # Labels are in another order than the ids.
    names = [category["name"] for category in truth.loadCats(ids)]
    return _predict(tmp_path_factory.mktemp("coco") / "p", samples, names), instances_json


@pytest.fixture(scope="session")
def panoptic(data_root: Path | None, tmp_path_factory) -> tuple[SavedPredictions, dict[str, str]]:
    """COCO's own two panoptic images (or two generated ones), and the truth's arguments."""
    folder = tmp_path_factory.mktemp("panoptic")
    if data_root is not None:
        source = data_root / "coco_panoptic2"
        files = {
            "ann_file": str(source / "panoptic_examples.json"),
            "seg_prefix": str(source / "panoptic"),
        }
    else:
        files = _generated_panoptic(folder)
    truth = PanopticTruth(**files)
    categories = sorted(truth._categories, key=lambda c: (not c["isthing"], c["id"]))
    classes = tuple(c["name"] for c in categories)
    things = tuple(c["name"] for c in categories if c["isthing"])
    truth.set_classes(classes, {"thing_classes": things})
    samples = []
    for image in json.loads(Path(files["ann_file"]).read_text())["images"]:
        size = (image["height"], image["width"])
        ids, segments = truth.segments(image["id"], size)
        values = np.full(size, len(classes))
        for number, (segment, info) in enumerate(segments.items(), 1):
            values[ids == segment] = info.label + 1000 * number
        samples.append(
            {
                "img_id": image["id"],
                "img_path": image["file_name"],
                "pred_panoptic_seg": {"sem_seg": values},
            }
        )
    return _predict(folder / "p", samples, classes, things), files


def _generated_panoptic(folder: Path) -> dict[str, str]:
    (folder / "png").mkdir()
    images, annotations = [], []
    for number in (1, 2):
        ids = np.zeros((20, 30 + number, 3), np.uint8)
        ids[3:9, :, 0], ids[9:, 5:, 1] = 7, number
        Image.fromarray(ids).save(folder / "png" / f"{number}.png")
        infos = [{"id": 7, "category_id": 30}, {"id": 256 * number, "category_id": 9}]
        images.append(
            {"id": number, "file_name": f"{number}.jpg", "height": 20, "width": 30 + number}
        )
        annotations.append(
            {"image_id": number, "file_name": f"{number}.png", "segments_info": infos}
        )
    categories = [
        {"id": 9, "name": "sky", "isthing": 0},
        {"id": 30, "name": "cat", "isthing": 1},
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "panoptic.json").write_text(json.dumps(content))
    return {"ann_file": str(folder / "panoptic.json"), "seg_prefix": str(folder / "png")}


@pytest.fixture(scope="session")
def cityscapes(data_root: Path | None, tmp_path_factory) -> tuple[SavedPredictions, Path, Path]:
    """Semantic and instance predictions, the folder of images, and that of gtFine."""
    folder = tmp_path_factory.mktemp("cityscapes")
    root = _generated_cityscapes(folder) if data_root is None else data_root
    root = root / "camvid_cityscapes_format" if data_root is not None else root
    samples = []
    for path in sorted((root / "gtFine" / "val").rglob("*_labelTrainIds.png")):
        stem = path.name.removesuffix("_gtFine_labelTrainIds.png")
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        ids = cv2.imread(str(path.with_name(f"{stem}_gtFine_instanceIds.png")), -1)
        objects = [i for i in np.unique(ids).tolist() if i >= 1000]
        train_ids = [int(labels[ids == i][0]) for i in objects]
        samples.append(
            {
                "img_path": f"val/{path.parent.name}/{stem}_leftImg8bit.png",
                "pred_sem_seg": {"data": labels},
                "pred_instances": {
                    "masks": np.stack([ids == i for i in objects])
                    if objects
                    else np.zeros((0, *ids.shape)),
                    "labels": np.array(train_ids, int),
                    "scores": np.full(len(objects), 0.9),
                },
            }
        )
    saved = _predict(folder / "p", samples, CITYSCAPES, CITYSCAPES[11:])
    return saved, root / "leftImg8bit" / "val", root / "gtFine" / "val"


def _generated_cityscapes(folder: Path) -> Path:
    for number in range(2):
        stem = f"a-town_00000{number}_000019"
        train = np.tile(np.repeat([0, 10, 13, 255], 6).astype(np.uint8), (16, 1))
        labels = np.select([train == 0, train == 10, train == 13], [7, 23, 26], 0)
        instances = np.where(labels == 26, 26000 + np.arange(16)[:, None] // 8, labels)
        for kind, name, values in (
            ("leftImg8bit", "leftImg8bit", train),
            ("gtFine", "gtFine_labelTrainIds", train),
            ("gtFine", "gtFine_labelIds", labels.astype(np.uint8)),
            ("gtFine", "gtFine_instanceIds", instances.astype(np.uint16)),
        ):
            path = folder / kind / "val" / "a-town" / f"{stem}_{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), values)
    return folder


Change = bytes | None | Callable[[bytes], bytes]


@pytest.fixture(scope="session")
def edit_zip() -> Callable[[Path, Path, dict[str, Change]], None]:
    """Copy a zip file with members replaced, removed (None) or added."""

    def edit(source: Path, target: Path, changes: dict[str, Change]) -> None:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in (*old.namelist(), *(n for n in changes if n not in old.namelist())):
                change = changes.get(name, lambda data: data)
                if change is None:
                    continue
                new.writestr(name, change if isinstance(change, bytes) else change(old.read(name)))

    return edit
