"""COCO's average precision of one class for many resamples of the images at once, exactly.

A resample that holds an image w times is ``COCOeval.accumulate`` on a list of images with w copies
of it in a row. Sorting is done once: the copies of a detection stand side by side in the sorted
list, so a resample is a weight for each detection, and its curve two cumulative sums of weights.

Only true positives matter: between two of them precision falls and recall stands still. Nor do the
copies of one of them differ: along a run of true positives precision rises, so all of them have the
envelope of the last. With env_j the envelope at true positive j, and c(k) the number of COCO's 101
recall levels that k hits reach, the sum of the precisions at these levels is
sum_j env_j * (c(hits_j) - c(hits_{j-1})).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RECALL_LEVELS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101, dtype=np.float64)
_CHUNK_BYTES = 2**22

Ints = NDArray[np.integer]
Counts = NDArray[np.signedinteger]
Floats = NDArray[np.float64]


class ClassDetections(NamedTuple):
    """The E detections of one class, by descending score, then image, then rank in the image.

    Attributes:
        image: (E,) positions of their images.
        score: (E,).
        rank: (E,) positions among the detections of this class in the image.
        hit: (A, T, E) true positives, in A ranges of area and at T thresholds of IoU.
        ignored: (A, T, E) those that count neither as right nor as wrong.
        copy: (E,) -1 where an entry stands for all copies of its image, else the one copy that it
            stands for; see `split_copies`.
    """

    image: Ints
    score: Floats
    rank: Ints
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    copy: Ints

    def take(self, index: Ints) -> "ClassDetections":
        """Select and reorder entries."""
        return ClassDetections(
            self.image[index],
            self.score[index],
            self.rank[index],
            self.hit[..., index],
            self.ignored[..., index],
            self.copy[index],
        )


def sort_detections(
    image: Ints, score: Floats, rank: Ints, matched: Ints, ignored: Ints, thresholds: int
) -> ClassDetections:
    """Sort the detections of one class as COCO does, and unpack their bits.

    Args:
        image: (E,).
        score: (E,).
        rank: (E,).
        matched: (E, A), bit t for threshold t; see `attnseg.evaluation.functional.matching`.
        ignored: (E, A).
        thresholds: Number T of bits.
    """
    order = np.lexsort((rank, image, -score))
    bit = np.arange(thresholds)[:, None]
    found, skipped = (
        ((bits[order].T[:, None] >> bit) & 1).astype(bool) for bits in (matched, ignored)
    )
    image, score, rank = image[order], score[order], rank[order]
    return ClassDetections(
        image, score, rank, found & ~skipped, skipped, np.full(len(order), -1, dtype=np.int32)
    )


def split_copies(detections: ClassDetections, most: Ints) -> ClassDetections:
    """Give each copy of an image its own entries where the order of copies matters.

    Two detections a and b of one image with the same score stand in the list of two copies as
    a, b, a, b, not as a, a, b, b. That makes a difference if one is right and the other wrong.

    Args:
        detections: Sorted, one entry each.
        most: (n,) the highest number of copies of each image in any resample.
    """
    image, score = detections.image, detections.score
    if len(image) < 2 or most.max() < 2:
        return detections
    first = np.r_[True, (image[1:] != image[:-1]) | (score[1:] != score[:-1])]
    start = np.flatnonzero(first)
    wrong = ~detections.hit & ~detections.ignored
    mixed = (
        np.logical_or.reduceat(detections.hit, start, axis=2)
        & np.logical_or.reduceat(wrong, start, axis=2)
    ).any(axis=(0, 1))
    split = mixed[np.cumsum(first) - 1] & (most[image] > 1)
    if not split.any():
        return detections
    times = np.where(split, most[image], 1)
    index = np.repeat(np.arange(len(image)), times)
    copy = np.arange(len(index)) - np.repeat(np.cumsum(times) - times, times)
    result = detections.take(index)._replace(copy=np.where(split[index], copy, -1))
    return result.take(np.lexsort((result.rank, result.copy, result.image, -result.score)))


def mean_precision(detections: ClassDetections, weights: Ints, objects: Ints) -> Floats:
    """Mean of the interpolated precision at 101 recalls, for each resample.

    Args:
        detections: Of one class, after `split_copies` for these weights.
        weights: (R, n) how often each image counts.
        objects: (R, A) number of objects to be found; where it is 0 the value means nothing.

    Returns:
        (R, A, T) in [0, 1].
    """
    areas, thresholds, count = detections.hit.shape
    result = np.zeros((len(weights), areas, thresholds))
    highest = int(weights.max(initial=0)) * count
    dtype: type[np.signedinteger] = np.int32 if highest < 2**31 else np.int64
    width = max(count, int(objects.max(initial=0)), len(RECALL_LEVELS))
    rows = max(1, _CHUNK_BYTES // (4 * width))
    plans = [_plan(detections, area) for area in range(areas)]
    for begin in range(0, len(weights) if count else 0, rows):
        chunk = slice(begin, begin + rows)
        weight = weights[chunk].astype(dtype).take(detections.image, axis=1)
        split = np.flatnonzero(detections.copy >= 0)
        weight[:, split] = weight[:, split] > detections.copy[split]
        for area, plan in enumerate(plans):
            result[chunk, area] = _area_precision(plan, weight, objects[chunk, area])
    return result / len(RECALL_LEVELS)


class _Threshold(NamedTuple):
    """Where the true positives of one threshold stand.

    Attributes:
        hits: Positions of the true positives among all detections.
        base: How many detections of the base set stand up to each of them.
        plus: Positions that count here and are not in the base set.
        minus: Positions of the base set that are ignored here.
    """

    hits: Ints
    base: Ints
    plus: Ints
    minus: Ints


class _Plan(NamedTuple):
    """One area range: detections that count at most thresholds, and what differs at each."""

    base: Ints
    thresholds: list[_Threshold]


def _plan(detections: ClassDetections, area: int) -> _Plan:
    counts = ~detections.ignored[area]
    usual = 2 * counts.sum(axis=0) > len(counts)
    before = np.cumsum(usual)
    thresholds = []
    for count, hit in zip(counts, detections.hit[area], strict=True):
        hits = np.flatnonzero(hit)
        plus, minus = np.flatnonzero(count & ~usual), np.flatnonzero(usual & ~count)
        thresholds.append(_Threshold(hits, before[hits], plus, minus))
    return _Plan(np.flatnonzero(usual), thresholds)


def _area_precision(plan: _Plan, weight: Counts, objects: Ints) -> Floats:
    """Sums over the recall levels (R, T)."""
    result = np.zeros((len(weight), len(plan.thresholds)))
    if not any(len(t.hits) for t in plan.thresholds):
        return result
    reached, offset = recall_levels(objects, weight.dtype)
    counted = _running(weight, plan.base)
    for index, (hits, base, plus, minus) in enumerate(plan.thresholds):
        if not len(hits):
            continue
        seen = counted.take(base, axis=1)
        for sign, extra in ((1, plus), (-1, minus)):
            # Few detections, mostly at the limits of an area range.
            if len(extra):
                seen += sign * _running(weight, extra).take(
                    np.searchsorted(extra, hits, side="right"), axis=1
                )
        found = weight.take(hits, axis=1)
        np.cumsum(found, axis=1, out=found)
        envelope = found / np.maximum(seen, 1, out=seen)
        np.maximum.accumulate(envelope[:, ::-1], axis=1, out=envelope[:, ::-1])
        found += offset
        level = reached.take(found)
        envelope[:, 0] *= level[:, 0]
        envelope[:, 1:] *= level[:, 1:] - level[:, :-1]
        result[:, index] = envelope.sum(axis=1)
    return result


def _running(weight: Counts, index: Ints) -> Counts:
    """Cumulative weights (R, len(index) + 1) of some detections, from 0."""
    result = np.zeros((len(weight), len(index) + 1), dtype=weight.dtype)
    np.cumsum(weight.take(index, axis=1), axis=1, out=result[:, 1:])
    return result


def recall_levels(objects: Ints, dtype: np.dtype) -> tuple[Ints, Ints]:
    """Tabulate how many recall levels are reached by 0, 1, ... all objects being found.

    Args:
        objects: (R,) number of objects in each resample.
        dtype: Of the offsets.

    Returns:
        One flat table of sum(objects + 1) entries, and the offsets (R, 1) of the resamples in it.
    """
    total = objects.astype(np.int64)[:, None]
    need = np.ceil(RECALL_LEVELS * total).astype(np.int64)
    # COCO compares in floating point, where k / n may come out on the other side of a level.
    divisor = np.maximum(total, 1)
    need -= (need > 0) & ((need - 1) / divisor >= RECALL_LEVELS)
    need += (need < total) & (need / divisor < RECALL_LEVELS)
    offset = np.cumsum(total, axis=0) - total + np.arange(len(total))[:, None]
    size = int(total.sum()) + len(total)
    reached = np.cumsum(np.bincount((offset + need).ravel(), minlength=size))
    reached -= np.repeat(np.arange(len(total)) * len(RECALL_LEVELS), total[:, 0] + 1)
    return reached.astype(np.uint8), offset.astype(dtype)
