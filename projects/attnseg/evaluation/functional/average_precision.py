"""COCO average precision with the number of detections and the area ranges as parameters.

pycocotools computes its first figure, AP, at 100 detections an image whatever ``maxDets`` says, so
that 300 perfect detections of 300 objects score 0.337. Here every figure uses the last entry of
``max_dets``. The matching itself is faster-coco-eval's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

AREA_LIMIT = 1e10
"""Upper end of COCO's last area range, in pixels."""


class ApTable(NamedTuple):
    """Precision and recall at every setting; -1 where there is no object.

    Attributes:
        precision: (T, R, K, A): IoU thresholds 0.50:0.95, 101 recalls, categories, areas; at the
            last limit of detections.
        recall: (T, K, A, M), for each of the M limits of detections.
        areas: Names of the A area ranges, "" for all sizes first.
    """

    precision: np.ndarray
    recall: np.ndarray
    areas: tuple[str, ...]

    def average_precision(
        self, area: str = "", threshold: int | None = None, category: int | None = None
    ) -> float:
        """Mean precision over thresholds, recalls and categories that have objects.

        Args:
            area: Name of an area range, "" for all sizes.
            threshold: Index of one IoU threshold; 0 is 0.50 and 5 is 0.75.
            category: Index of one category.

        Returns:
            AP in [0, 1], NaN where no category has an object of this size.
        """
        values = self.precision[..., self.areas.index(area)]
        values = values if threshold is None else values[threshold : threshold + 1]
        values = values if category is None else values[:, :, category : category + 1]
        return _mean_of_valid(values)

    def average_recall(self, limit: int = -1, category: int | None = None) -> float:
        """Mean of the highest recall over thresholds and categories that have objects.

        Args:
            limit: Index of one limit of detections.
            category: Index of one category.
        """
        values = self.recall[:, :, 0, limit]
        return _mean_of_valid(values if category is None else values[:, category])


def _mean_of_valid(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")


def evaluate_detections(
    images: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]],
    detections: Sequence[Mapping[str, Any]],
    category_ids: Sequence[int],
    max_dets: Sequence[int],
    area_ranges: Mapping[str, tuple[float, float]],
    iou_type: str,
) -> ApTable:
    """Match detections to objects and tabulate precision and recall.

    Args:
        images: COCO image records (id, height, width); all of them are evaluated.
        truth: COCO annotations of these images (segmentation or bbox, area, iscrowd).
        detections: COCO annotations with a score; in RLE or with a bbox.
        category_ids: The K categories, ascending.
        max_dets: Ascending limits of the best-scored detections per image and category that take
            part: each for recall, the last for precision.
        area_ranges: Name -> [lowest, highest] area in pixels, both ends included.
        iou_type: 'segm', 'bbox' or 'boundary', the lesser of mask IoU and Boundary IoU (Cheng et
            al., CVPR 2021); crowds have mask IoU alone.
    """
    categories = [{"id": i, "name": str(i)} for i in category_ids]

    def to_coco(annotations: Sequence[Mapping[str, Any]]) -> COCO:
        # Matching marks annotations by their id and takes 0 for "unmatched", so ids start at 1;
        # the copies keep the evaluator's own notes out of the caller's records.
        numbered = [{**a, "id": i} for i, a in enumerate(annotations, 1)]
        records = [dict(image) for image in images]
        return COCO({"images": records, "annotations": numbered, "categories": categories})

    evaluator = COCOeval_faster(to_coco(truth), to_coco(detections), iou_type)
    params = evaluator.params
    params.imgIds = [image["id"] for image in images]
    params.catIds = list(category_ids)
    params.maxDets = list(max_dets)
    params.areaRng = [[0.0, AREA_LIMIT], *(list(limits) for limits in area_ranges.values())]
    params.areaRngLbl = ["all", *area_ranges]
    evaluator.evaluate()
    evaluator.accumulate()
    return ApTable(
        precision=np.asarray(evaluator.eval["precision"])[..., -1],
        recall=np.asarray(evaluator.eval["recall"]),
        areas=("", *area_ranges),
    )
