"""Small cases for COCO AP, and what pycocotools says of them with images listed several times."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CLASSES = ("a", "b")
MAX_DETS = (1, 2, 4)
AREAS = {"s": (0.0, 6.0), "b": (7.0, 1e10)}


class Object(NamedTuple):
    """An object; ``box`` is x, y, width, height."""

    label: int
    box: tuple[int, int, int, int]
    crowd: bool = False


class Detection(NamedTuple):
    """A detection of one class."""

    label: int
    box: tuple[int, int, int, int]
    score: float


class Image(NamedTuple):
    """Truth, crowds last, and prediction of one image."""

    objects: Sequence[Object]
    detections: Sequence[Detection]


# Coarse boxes and few scores: equal IoUs, equal scores and areas at the very limits.
_labels = st.integers(0, 1)
_boxes = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(1, 4), st.integers(1, 4))
_objects = st.lists(st.builds(Object, _labels, _boxes, st.sampled_from([False] * 4 + [True])))
_scores = st.sampled_from([0.2, 0.5, 0.9])
_detections = st.lists(st.builds(Detection, _labels, _boxes, _scores), max_size=8)


def images(least: int = 0) -> st.SearchStrategy[list[Image]]:
    """Lists of up to four images."""
    in_order = _objects.map(lambda found: sorted(found, key=lambda o: o.crowd))
    return st.lists(st.builds(Image, in_order, _detections), min_size=least, max_size=4)


def data_samples(case: Sequence[Image]) -> list[dict[str, Any]]:
    """The case as mmdet data samples with their truth."""

    def group(objects: Sequence[Any]) -> dict[str, torch.Tensor]:
        boxes = torch.tensor([o.box for o in objects], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return {"bboxes": boxes, "labels": torch.tensor([o.label for o in objects]).long()}

    return [
        {
            "img_id": img_id,
            "ori_shape": (8, 8),
            "gt_instances": group([o for o in image.objects if not o.crowd]),
            "ignored_instances": group([o for o in image.objects if o.crowd]),
            "pred_instances": {
                **group(image.detections),
                "scores": torch.tensor([d.score for d in image.detections], dtype=torch.float64),
            },
        }
        for img_id, image in enumerate(case)
    ]


def records(found: Sequence[Object | Detection], img_id: int, first: int) -> list[dict[str, Any]]:
    """COCO annotations, numbered from ``first``."""
    return [
        {
            "id": first + i,
            "image_id": img_id,
            "category_id": f.label,
            "bbox": list(f.box),
            "area": float(f.box[2] * f.box[3]),
            "iscrowd": int(getattr(f, "crowd", False)),
            "score": getattr(f, "score", 1.0),
        }
        for i, f in enumerate(found)
    ]


def pycocotools_evaluation(case: Sequence[Image], copies: Sequence[int]) -> COCOeval:
    """Evaluate the boxes of a list that holds image i ``copies[i]`` times in a row."""
    repeated = [image for image, times in zip(case, copies, strict=True) for _ in range(times)]
    sides = []
    for side in ("objects", "detections"):
        annotations: list[dict[str, Any]] = []
        for img_id, image in enumerate(repeated, 1):
            annotations += records(getattr(image, side), img_id, len(annotations) + 1)
        sides.append(
            {
                "images": [{"id": i} for i in range(1, len(repeated) + 1)],
                "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
                "annotations": annotations,
            }
        )
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*map(_coco, sides), "bbox")
        evaluation.params.maxDets = list(MAX_DETS)
        evaluation.params.areaRng = [[0.0, 1e10], *map(list, AREAS.values())]
        evaluation.params.areaRngLbl = ["all", *AREAS]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _coco(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def values_of(
    evaluation: COCOeval, classes: Sequence[str], areas: Sequence[str], max_dets: Sequence[int]
) -> dict[str, float]:
    """Our keys from pycocotools' tables, which its own summary reads at 100 detections only."""
    precision, recall = evaluation.eval["precision"][..., -1], evaluation.eval["recall"]

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else np.nan

    found = {
        "AP": mean(precision[..., 0]),
        "AP50": mean(precision[0, ..., 0]),
        "AP75": mean(precision[5, ..., 0]),
        **{f"AP{name}": mean(precision[..., i]) for i, name in enumerate(areas, 1)},
        "AR": mean(recall[:, :, 0, -1]),
        **{f"AR@{limit}": mean(recall[:, :, 0, i]) for i, limit in enumerate(max_dets)},
    }
    for k, name in enumerate(classes):
        found[f"AP/{name}"] = mean(precision[:, :, k, 0])
        found[f"AP50/{name}"] = mean(precision[0, :, k, 0])
        found[f"AR/{name}"] = mean(recall[:, k, 0, -1])
    return found
