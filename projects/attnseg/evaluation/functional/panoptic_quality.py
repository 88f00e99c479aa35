"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019), on plain arrays."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from attnseg.evaluation.functional.pairs import count_pairs
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

    row, col, pixels = count_pairs(gt_index, pred_index)
    # Sums of integers below 2^53: exact.
    gt_area = np.bincount(row, pixels, minlength=len(gts) + 1)[1:].astype(np.int64)
    pred_area = np.bincount(col, pixels, minlength=len(preds) + 1)[1:].astype(np.int64)

    def pixels_of(pairs: np.ndarray) -> np.ndarray:
        total = np.bincount(col[pairs], pixels[pairs], minlength=len(preds) + 1)
        return total[1:].astype(np.int64)

    on_void = pixels_of(row == 0)
    crowd = np.array([s.iscrowd for s in gts], dtype=bool)
    same_class = (row > 0) & (col > 0)
    same_class[same_class] = gt_label[row[same_class] - 1] == pred_label[col[same_class] - 1]
    of_crowd = same_class.copy()
    of_crowd[same_class] = crowd[row[same_class] - 1]
    on_crowd = pixels_of(of_crowd)

    pairs = same_class & ~of_crowd
    gt, pred, inter = row[pairs] - 1, col[pairs] - 1, pixels[pairs]
    iou = inter / (gt_area[gt] + pred_area[pred] - on_void[pred] - inter)
    match = iou > 0.5
    gt, pred, iou = gt[match], pred[match], iou[match]

    false_positive = (pred_area > 0) & (2 * (on_void + on_crowd) <= pred_area)
    false_positive[pred] = False
    false_negative = ~crowd
    false_negative[gt] = False

    def count(labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(labels, weights, minlength=num_classes)

    return PanopticStatistics(
        iou=count(gt_label[gt], iou).astype(np.float64),
        tp=count(gt_label[gt]),
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
