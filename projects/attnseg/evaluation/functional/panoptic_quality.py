"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019), on plain arrays."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from attnseg.evaluation.functional.sums import ratio


class Segment(NamedTuple):
    """Class of a segment; a crowd region is neither to be found nor to be missed."""

    label: int
    iscrowd: bool = False


class PanopticStatistics(NamedTuple):
    """Sums from which PQ follows, per class: four arrays (..., C); entries of images add up."""

    iou: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray


class PanopticQuality(NamedTuple):
    """Per-class values (..., C) in [0, 1]; NaN where a class is in neither map of any image."""

    pq: np.ndarray
    sq: np.ndarray
    rq: np.ndarray


def _index_segments(
    segment_map: np.ndarray, segments: Mapping[int, Segment]
) -> tuple[np.ndarray, list[Segment]]:
    """Number the segments 1..n in the map; 0 stands for every id that is no segment."""
    ids, inverse = np.unique(segment_map, return_inverse=True)
    order = sorted(segments)
    position = {segment_id: i + 1 for i, segment_id in enumerate(order)}
    lookup = np.array([position.get(int(i), 0) for i in ids], dtype=np.int64)
    return lookup[inverse.reshape(-1)], [segments[i] for i in order]


def pq_statistics(
    pred_map: np.ndarray,
    pred_segments: Mapping[int, Segment],
    gt_map: np.ndarray,
    gt_segments: Mapping[int, Segment],
    num_classes: int,
) -> PanopticStatistics:
    """Match the segments of one image, by the convention of the COCO panoptic task.

    A predicted and a true segment of one class match where IoU > 0.5, with predicted pixels on
    void left out of the union (at most one partner is then possible). An unmatched prediction of
    which more than half lies on void and on crowd regions of its class is no false positive; crowd
    regions match nothing and are no false negatives. Pixels whose id is not among the segments
    are void.

    Args:
        pred_map: Integer segment ids (H, W).
        pred_segments: Segment of each id of the prediction.
        gt_map: Integer segment ids (H, W).
        gt_segments: Segment of each id of the truth; one without pixels is a false negative.
        num_classes: Number of classes C.

    Raises:
        ValueError: If the maps differ in size, or a label is outside 0..C-1.
    """
    if pred_map.shape != gt_map.shape:
        raise ValueError(f"Prediction {pred_map.shape} and truth {gt_map.shape} differ in size.")
    pred_index, preds = _index_segments(pred_map, pred_segments)
    gt_index, gts = _index_segments(gt_map, gt_segments)
    pred_label = np.array([s.label for s in preds], dtype=np.int64)
    gt_label = np.array([s.label for s in gts], dtype=np.int64)
    for name, labels in (("prediction", pred_label), ("truth", gt_label)):
        if ((labels < 0) | (labels >= num_classes)).any():
            raise ValueError(f"A label of the {name} is outside 0..{num_classes - 1}: {labels}.")

    shape = (len(gts) + 1, len(preds) + 1)
    overlap = np.bincount(gt_index * shape[1] + pred_index, minlength=shape[0] * shape[1])
    overlap = overlap.reshape(shape)
    pred_area = overlap.sum(axis=0)[1:]
    gt_area = overlap.sum(axis=1)[1:]
    on_void = overlap[0, 1:]
    inter = overlap[1:, 1:]

    crowd = np.array([s.iscrowd for s in gts], dtype=bool)
    same_class = gt_label[:, None] == pred_label[None, :]
    union = gt_area[:, None] + (pred_area - on_void)[None, :] - inter
    iou = np.divide(inter, union, out=np.zeros(inter.shape), where=union > 0)
    match = same_class & ~crowd[:, None] & (iou > 0.5)

    on_crowd = (inter * (same_class & crowd[:, None])).sum(axis=0)
    excused = 2 * (on_void + on_crowd) > pred_area
    false_positive = ~match.any(axis=0) & ~excused & (pred_area > 0)
    false_negative = ~match.any(axis=1) & ~crowd
    matched_gt, matched_pred = np.nonzero(match)

    def count(labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(labels, weights, minlength=num_classes)

    return PanopticStatistics(
        iou=count(gt_label[matched_gt], iou[matched_gt, matched_pred]).astype(np.float64),
        tp=count(gt_label[matched_gt]),
        fp=count(pred_label[false_positive]),
        fn=count(gt_label[false_negative]),
    )


def panoptic_quality(stats: PanopticStatistics) -> PanopticQuality:
    """Compute PQ = sum(IoU) / (TP + FP/2 + FN/2), SQ = sum(IoU) / TP, RQ = PQ / SQ per class.

    SQ of a class without a match is 0, as in the COCO evaluation.
    """
    weight = stats.tp + 0.5 * stats.fp + 0.5 * stats.fn
    return PanopticQuality(
        pq=ratio(stats.iou, weight),
        sq=np.where(weight > 0, stats.iou / np.maximum(stats.tp, 1), np.nan),
        rq=ratio(stats.tp, weight),
    )
