"""Our metrics and what they are compared with; each factory takes the number and side of images.

A factory returns the call to be measured, which gives the values to be compared.
"""

import contextlib
import importlib
import io
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from metric_inputs import (
    blobs,
    cells,
    coco_content,
    panoptic_files,
    semantic_samples,
    worse,
)

from attnseg.compat import id2rgb, rgb2id, setup_env

Call = Callable[[], list[float]]

CLASSES = 20
IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def warm(build: Callable[[int, int], Call], images: int, side: int) -> Call:
    """Run once at a small size, so that neither imports nor lazy libraries are measured."""
    with contextlib.redirect_stdout(io.StringIO()):
        build(1, 64)()
    call = build(images, side)

    def quiet() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            return call()

    return quiet


def evaluate(metric: Any, samples: list[dict[str, Any]]) -> Mapping[str, float]:
    """Feed samples one by one and compute the values."""
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def ap_ours(images: int, side: int) -> Call:
    """CocoInstanceMetric on run-length codes."""
    setup_env()

    def build(images: int, side: int) -> Call:
        import json

        from attnseg.evaluation import CocoInstanceMetric

        content, detections = coco_content(10 * images, side, 12, CLASSES)
        by_image = defaultdict(list)
        for detection in detections:
            by_image[detection["image_id"]].append(detection)
        samples = []
        for image in content["images"]:
            found = by_image[image["id"]]
            samples.append({
                "img_id": image["id"],
                "ori_shape": (side, side),
                "pred_instances": {
                    "masks": [d["segmentation"] for d in found],
                    "labels": np.array([d["category_id"] - 1 for d in found], dtype=int),
                    "scores": np.array([d["score"] for d in found]),
                },
            })  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "instances.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            metric = CocoInstanceMetric(str(path), max_dets=(1, 10, 100))
        metric.dataset_meta = {"classes": tuple(f"c{i}" for i in range(CLASSES))}

        def call() -> list[float]:
            values = evaluate(metric, samples)
            return [values[f"coco/{k}"] for k in ("AP", "AP50", "AP75", "AR")]

        return call

    return warm(build, images, side)


def ap_pycocotools(images: int, side: int) -> Call:
    """pycocotools' COCOeval."""

    def build(images: int, side: int) -> Call:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        content, detections = coco_content(10 * images, side, 12, CLASSES)
        truth = COCO()
        truth.dataset = content
        truth.createIndex()

        def call() -> list[float]:
            run = COCOeval(truth, truth.loadRes([dict(d) for d in detections]), "segm")
            run.evaluate()
            run.accumulate()
            run.summarize()
            return [float(run.stats[i]) for i in (0, 1, 2, 8)]

        return call

    return warm(build, images, side)


def _panoptic(make: Callable[..., Any], keys: tuple[str, ...], scale: float) -> Callable:
    def build(images: int, side: int) -> Call:
        folder = tempfile.TemporaryDirectory()
        samples = panoptic_files(Path(folder.name), images, side, CLASSES)
        names = tuple(f"c{i}" for i in range(CLASSES))
        meta = {"classes": names, "thing_classes": names[: CLASSES // 2]}

        def call() -> list[float]:
            # The folder lives as long as the call.
            metric = make(ann_file=f"{folder.name}/panoptic.json", seg_prefix=folder.name)
            metric.dataset_meta = meta
            values = evaluate(metric, samples)
            return [values[key] / scale for key in keys]

        return call

    return build


def pq_ours(images: int, side: int) -> Call:
    """PanopticMetric."""
    setup_env()
    from attnseg.evaluation import PanopticMetric

    keys = tuple(f"panoptic/{k}" for k in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st"))
    return warm(_panoptic(PanopticMetric, keys, 1.0), images, side)


def pq_mmdet(images: int, side: int) -> Call:
    """mmdet's CocoPanopticMetric; panopticapi's names are stood in for where it is missing."""
    setup_env()
    from mmdet.evaluation import CocoPanopticMetric

    if not has_panopticapi():
        _stand_in_for_panopticapi()
    keys = tuple(f"coco_panoptic/{k}" for k in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st"))
    return warm(_panoptic(CocoPanopticMetric, keys, 100.0), images, side)


def has_panopticapi() -> bool:
    """Whether the package itself is there; ``attnseg.compat`` gives its conversions alone."""
    try:
        return hasattr(importlib.import_module("panopticapi.evaluation"), "PQStat")
    except ImportError:
        return False


def _stand_in_for_panopticapi() -> None:
    """Give mmdet the five names that it takes from panopticapi, which no package index has.

    Reading, matching and counting are mmdet's own; here are sums and their quotients.
    """

    class Row:
        def __init__(self) -> None:
            self.iou, self.tp, self.fp, self.fn = 0.0, 0, 0, 0

    class PQStat(defaultdict):
        def __init__(self) -> None:
            super().__init__(Row)

        def __iadd__(self, other: "PQStat") -> "PQStat":
            for key, row in other.items():
                for name, value in vars(row).items():
                    setattr(self[key], name, getattr(self[key], name) + value)
            return self

        def pq_average(self, categories: Mapping, isthing: bool | None) -> tuple[dict, dict]:
            rows = {}
            for key, category in categories.items():
                row = self[key]
                weight = row.tp + row.fp / 2 + row.fn / 2
                if weight and isthing in (None, bool(category["isthing"])):
                    sq = row.iou / row.tp if row.tp else 0.0
                    rows[key] = {"pq": row.iou / weight, "sq": sq, "rq": row.tp / weight}
            means = {k: float(np.mean([r[k] for r in rows.values()])) for k in ("pq", "sq", "rq")}
            return means | {"n": len(rows)}, rows

    from mmdet.evaluation.functional import panoptic_utils
    from mmdet.evaluation.metrics import coco_panoptic_metric

    # mmdet is imported already, and took None for each of them.
    for module in (panoptic_utils, coco_panoptic_metric):
        module.VOID, module.OFFSET, module.PQStat = 0, 256**3, PQStat
        module.id2rgb, module.rgb2id = id2rgb, rgb2id
    coco_panoptic_metric.panopticapi = panoptic_utils


def _semantic(make: Callable[[], Any], read: Callable[[Any, list], list[float]]) -> Callable:
    def build(images: int, side: int) -> Call:
        samples = semantic_samples(images, side, CLASSES)

        def call() -> list[float]:
            metric = make()
            metric.dataset_meta = {"classes": tuple(f"c{i}" for i in range(CLASSES))}
            return read(metric, samples)

        return call

    return build


def miou_ours(images: int, side: int) -> Call:
    """SemanticMetric."""
    setup_env()
    from attnseg.evaluation import SemanticMetric

    def read(metric: Any, samples: list) -> list[float]:
        values = evaluate(metric, samples)
        return [values[f"semantic/{k}"] for k in ("mIoU", "mAcc", "mDice", "aAcc")]

    return warm(_semantic(SemanticMetric, read), images, side)


def miou_mmseg(images: int, side: int) -> Call:
    """mmseg's IoUMetric; its values are percent with two digits."""
    setup_env()
    from mmseg.evaluation import IoUMetric

    def read(metric: Any, samples: list) -> list[float]:
        values = evaluate(metric, samples)
        return [float(values[k]) / 100 for k in ("mIoU", "mAcc", "mDice", "aAcc")]

    return warm(_semantic(lambda: IoUMetric(iou_metrics=["mIoU", "mDice"]), read), images, side)


def _cell_maps(images: int, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    maps = [cells(rng, side, max(9, side**2 // 200)) for _ in range(max(1, images // 5))]
    return [(truth, worse(rng, truth)) for truth in maps]


def cells_ours(images: int, side: int) -> Call:
    """Matches at ten thresholds from sparse overlaps."""
    from attnseg.evaluation.functional.cells import cell_overlaps, count_matches

    def build(images: int, side: int) -> Call:
        maps = _cell_maps(images, side)
        return lambda: [
            int(n) for pair in maps for n in count_matches(cell_overlaps(*pair), IOU_THRESHOLDS)
        ]

    return warm(build, images, side)


def cells_dense(images: int, side: int) -> Call:
    """Dense IoU matrix and scipy's Hungarian assignment, as NeurIPS-CellSeg and StarDist do."""
    from scipy.optimize import linear_sum_assignment

    def matches(truth: np.ndarray, pred: np.ndarray) -> list[int]:
        rows, cols = (np.unique(m, return_inverse=True)[1].reshape(-1) for m in (truth, pred))
        overlap = np.zeros((rows.max() + 1, cols.max() + 1))
        np.add.at(overlap, (rows, cols), 1)
        union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
        iou = (overlap / union)[1:, 1:]
        found = []
        for threshold in IOU_THRESHOLDS:
            costs = -(iou >= threshold).astype(float) - iou / (2 * min(iou.shape))
            found.append(int((iou[linear_sum_assignment(costs)] >= threshold).sum()))
        return found

    def build(images: int, side: int) -> Call:
        maps = _cell_maps(images, side)
        return lambda: [n for pair in maps for n in matches(*pair)]

    return warm(build, images, side)


def _over_masks(value: Callable[[np.ndarray, np.ndarray], float]) -> Callable:
    def build(images: int, side: int) -> Call:
        rng = np.random.default_rng(0)
        pairs = [blobs(rng, side) for _ in range(images)]
        return lambda: [float(value(*pair)) for pair in pairs]

    return build


def biou_ours(images: int, side: int) -> Call:
    """Boundary IoU by one erosion with a square of 2 d + 1."""
    from attnseg.evaluation.functional.boundary import boundary_iou, boundary_width

    build = _over_masks(lambda p, t: boundary_iou(p, t, boundary_width(t.shape)))
    return warm(build, images, side)


def biou_erosion(images: int, side: int) -> Call:
    """Boundary IoU by d erosions with a 3x3 square in OpenCV, as published."""
    import cv2

    def region(mask: np.ndarray) -> np.ndarray:
        d = max(1, round(0.02 * np.hypot(*mask.shape)))
        padded = np.pad(mask.astype(np.uint8), 1)
        return mask & (cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=d)[1:-1, 1:-1] == 0)

    def value(pred: np.ndarray, truth: np.ndarray) -> float:
        first, second = region(pred), region(truth)
        return (first & second).sum() / (first | second).sum()

    return warm(_over_masks(value), images, side)


def hd_ours(images: int, side: int) -> Call:
    """Hausdorff distance by a k-d tree of the contours."""
    from attnseg.evaluation.functional.boundary import hausdorff

    return warm(_over_masks(hausdorff), images, side)


def hd_scipy(images: int, side: int) -> Call:
    """scipy's directed_hausdorff both ways, between the same contour pixels."""
    from scipy.ndimage import binary_erosion
    from scipy.spatial.distance import directed_hausdorff

    def value(pred: np.ndarray, truth: np.ndarray) -> float:
        a, b = (np.argwhere(mask ^ binary_erosion(mask)) for mask in (pred, truth))
        return max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])

    return warm(_over_masks(value), images, side)


def hd95_ours(images: int, side: int) -> Call:
    """95th percentile of the distances."""
    from attnseg.evaluation.functional.boundary import hausdorff

    return warm(_over_masks(lambda p, t: hausdorff(p, t, 95)), images, side)


def hd95_monai(images: int, side: int) -> Call:
    """MONAI's compute_hausdorff_distance with percentile=95."""
    from monai.metrics import compute_hausdorff_distance

    def value(pred: np.ndarray, truth: np.ndarray) -> float:
        return compute_hausdorff_distance(
            pred[None, None], truth[None, None], include_background=True, percentile=95
        )

    return warm(_over_masks(value), images, side)


def asd_ours(images: int, side: int) -> Call:
    """Symmetric average surface distance."""
    from attnseg.evaluation.functional.boundary import average_surface_distance

    return warm(_over_masks(average_surface_distance), images, side)


def asd_monai(images: int, side: int) -> Call:
    """MONAI's compute_average_surface_distance, symmetric."""
    from monai.metrics import compute_average_surface_distance

    def value(pred: np.ndarray, truth: np.ndarray) -> float:
        return compute_average_surface_distance(
            pred[None, None], truth[None, None], include_background=True, symmetric=True
        )

    return warm(_over_masks(value), images, side)
