"""COCO's matching of detections to objects, image by image, at all thresholds and sizes at once.

The rules are those of ``COCOeval.evaluateImg`` in pycocotools (Lin et al., "Microsoft COCO", 2014):
detections choose in the order of their scores, each the free object of highest IoU; objects of
another size and crowds are ignored, and so is whatever matches them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import mask as rle_tools
from numpy.typing import NDArray

from attnseg.evaluation.functional.average_precision import AREA_LIMIT

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10, dtype=np.float64)
"""COCO's T thresholds; bit t of the match statistics belongs to entry t."""

# An IoU of 1 that came out a little lower still passes a threshold of 1, as in COCO.
_LOWEST = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[:, None]
_BITS = (1 << np.arange(len(IOU_THRESHOLDS))).astype(np.uint16)

Record = Mapping[str, Any]


class ImageMatches(NamedTuple):
    """Detections and objects of one image, by class, in A ranges of object area.

    Attributes:
        det_class: (D,) classes, ascending.
        det_score: (D,) scores, descending in each class.
        det_rank: (D,) position in its class, from 0.
        det_matched: (D, A) bit t is set where the detection found an object at threshold t.
        det_ignored: (D, A) bit t is set where it counts neither as right nor as wrong.
        gt_class: (G,) classes that have an object which counts in a range.
        gt_count: (G, A) number of objects that count.
    """

    det_class: NDArray[np.int32]
    det_score: NDArray[np.float64]
    det_rank: NDArray[np.int32]
    det_matched: NDArray[np.uint16]
    det_ignored: NDArray[np.uint16]
    gt_class: NDArray[np.int32]
    gt_count: NDArray[np.int32]


def area_limits(area_ranges: Mapping[str, Sequence[float]]) -> NDArray[np.float64]:
    """Limits (A, 2) in pixels of all sizes and of the named ranges, in their order."""
    return np.array([[0.0, AREA_LIMIT], *(list(v) for v in area_ranges.values())])


def match_image(
    objects: Sequence[Record],
    detections: Sequence[Record],
    max_dets: int,
    areas: NDArray[np.float64],
    iou_type: str,
) -> ImageMatches:
    """Match the detections of one image.

    Args:
        objects: COCO annotations (category_id, area, iscrowd; segmentation as RLE, or bbox).
        detections: The same with a score.
        max_dets: Number of detections that take part, per class, the best-scored ones.
        areas: (A, 2) lowest and highest area in pixels, both included.
        iou_type: 'segm' or 'bbox'.
    """
    truth, found = _by_class(objects), _by_class(detections)
    width = len(areas)
    scores, ranks, matches, counts = [], [], [], []
    for label in sorted(truth.keys() | found.keys()):
        gt, dets = truth[label], found[label]
        score = np.array([d["score"] for d in dets], dtype=np.float64)
        order = np.argsort(-score, kind="stable")[:max_dets]
        dets = [dets[i] for i in order]
        crowd = np.array([bool(g["iscrowd"]) for g in gt], dtype=bool)
        gt_ignored = crowd | _outside(gt, areas)
        scores.append(score[order])
        ranks.append(np.arange(len(dets)))
        matches.append(
            match_class(_ious(dets, gt, crowd, iou_type), crowd, gt_ignored, _outside(dets, areas))
        )
        counts.append((label, len(dets), (~gt_ignored).sum(axis=1)))
    count = np.array([c for _, _, c in counts], dtype=np.int32).reshape(-1, width)
    labels = np.array([label for label, _, _ in counts], dtype=np.int32)
    lengths = [length for _, length, _ in counts]
    counted = count.any(axis=1)
    return ImageMatches(
        det_class=np.repeat(labels, lengths),
        det_score=_join(scores, np.float64),
        det_rank=_join(ranks, np.int32),
        det_matched=_join([m for m, _ in matches], np.uint16, width),
        det_ignored=_join([i for _, i in matches], np.uint16, width),
        gt_class=labels[counted],
        gt_count=count[counted],
    )


def match_class(
    ious: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    gt_ignored: NDArray[np.bool_],
    det_outside: NDArray[np.bool_],
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Match the detections of one class in one image.

    A detection takes an object that counts before an ignored one, then the highest IoU, then the
    last in the list. Crowds can be taken any number of times.

    Args:
        ious: (D, G), detections by descending score; for crowds COCO's intersection over the area
            of the detection.
        crowd: (G,).
        gt_ignored: (A, G) objects that do not count, crowds included.
        det_outside: (A, D) detections of another size: ignored unless they match.

    Returns:
        Bits of the thresholds at which a detection matched, and at which it is ignored, (D, A).
    """
    shape = (len(det_outside), len(IOU_THRESHOLDS))
    matched = np.zeros((*shape, len(ious)), dtype=bool)
    ignored = np.zeros_like(matched)
    taken = np.zeros((*shape, len(crowd)), dtype=bool)
    near = ious >= _LOWEST[0]
    area, threshold = np.ogrid[: shape[0], : shape[1]]
    for det in np.flatnonzero(near.any(axis=1)):
        # Few objects come near a detection, so that the arrays below are tiny.
        columns = np.flatnonzero(near[det])
        iou = ious[det, columns]
        preference = np.empty(len(columns), dtype=np.int64)
        preference[np.argsort(iou, kind="stable")] = np.arange(len(columns))
        skipped = gt_ignored[:, columns]
        preference = preference + len(columns) * ~skipped
        free = (crowd[columns] | ~taken[:, :, columns]) & (iou >= _LOWEST)
        choice = np.where(free, preference[:, None], -1).argmax(axis=2)
        hit = free[area, threshold, choice]
        matched[:, :, det] = hit
        ignored[:, :, det] = hit & skipped[area, choice]
        taken[area, threshold, columns[choice]] |= hit
    ignored |= ~matched & det_outside[:, None]
    return _pack(matched), _pack(ignored)


def _pack(flags: NDArray[np.bool_]) -> NDArray[np.uint16]:
    return (flags * _BITS[:, None]).sum(axis=1, dtype=np.uint16).T


def _by_class(records: Sequence[Record]) -> defaultdict[int, list[Record]]:
    groups: defaultdict[int, list[Record]] = defaultdict(list)
    for record in records:
        groups[record["category_id"]].append(record)
    return groups


def _outside(records: Sequence[Record], areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    area = np.array([r["area"] for r in records], dtype=np.float64)
    return (area < areas[:, :1]) | (area > areas[:, 1:])


def _ious(
    dets: Sequence[Record], gt: Sequence[Record], crowd: NDArray[np.bool_], iou_type: str
) -> NDArray[np.float64]:
    if not dets or not gt:
        return np.zeros((len(dets), len(gt)))
    key = "segmentation" if iou_type == "segm" else "bbox"
    regions = [[r[key] for r in records] for records in (dets, gt)]
    return np.asarray(rle_tools.iou(*regions, crowd.astype(int).tolist()))


def _join(parts: Sequence[NDArray], dtype: type, *width: int) -> NDArray:
    return np.concatenate([np.empty((0, *width), dtype), *parts]).astype(dtype, copy=False)
