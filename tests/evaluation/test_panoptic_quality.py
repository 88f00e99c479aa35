"""PQ of single images: hand-computed cases and an independent dense reference."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnseg.evaluation.functional import Segment, panoptic_quality, pq_statistics

THING, OTHER = 0, 1


def _row(*runs: tuple[int, int]) -> np.ndarray:
    """A map of one row from (id, length) runs."""
    return np.concatenate([np.full(n, i) for i, n in runs])[None]


def _stats(pred, pred_segments, gt, gt_segments, num_classes=2):
    wrap = lambda segs: {i: Segment(*s) for i, s in segs.items()}  # noqa: E731
    stats = pq_statistics(pred, wrap(pred_segments), gt, wrap(gt_segments), num_classes)
    return [a.tolist() for a in stats]


def test_perfect_prediction_with_other_ids() -> None:
    gt, pred = _row((7, 5), (9, 3)), _row((1, 5), (2, 3))
    result = _stats(pred, {1: (THING,), 2: (OTHER,)}, gt, {7: (THING,), 9: (OTHER,)})
    assert result == [[1.0, 1.0], [1, 1], [0, 0], [0, 0]]


def test_match_needs_more_than_half() -> None:
    # IoU is 4 / 8 = 0.5 exactly: no match.
    gt, pred = _row((1, 8)), _row((1, 4), (0, 4))
    assert _stats(pred, {1: (THING,)}, gt, {1: (THING,)}) == [[0, 0], [0, 0], [1, 0], [1, 0]]
    # IoU is 5 / 8.
    pred = _row((1, 5), (0, 3))
    assert _stats(pred, {1: (THING,)}, gt, {1: (THING,)}) == [[0.625, 0], [1, 0], [0, 0], [0, 0]]


def test_void_leaves_the_union() -> None:
    # Object of 4, prediction of 8 of which 3 on void: union 4 + 8 - 4 - 3 = 5.
    gt = _row((1, 4), (0, 3), (2, 1))
    pred = _row((1, 8))
    result = _stats(pred, {1: (THING,)}, gt, {1: (THING,), 2: (OTHER,)})
    assert result == [[0.8, 0], [1, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize(("on_void", "false_positives"), [(4, 1), (5, 0)])
def test_prediction_mostly_on_void_is_excused(on_void: int, false_positives: int) -> None:
    gt = _row((0, on_void), (2, 100 - on_void))
    pred = _row((1, 8), (2, 92))
    stats = _stats(pred, {1: (THING,), 2: (OTHER,)}, gt, {2: (OTHER,)})
    assert stats[2] == [false_positives, 0]


@pytest.mark.parametrize(("pred_class", "false_positives"), [(THING, [0, 0]), (OTHER, [0, 1])])
def test_crowd_excuses_its_own_class_only(pred_class: int, false_positives: list[int]) -> None:
    gt, pred = _row((5, 10)), _row((1, 10))
    result = _stats(pred, {1: (pred_class,)}, gt, {5: (THING, True)})
    # A crowd is never found (no TP even at IoU 1) and never missed.
    assert result == [[0, 0], [0, 0], false_positives, [0, 0]]


def test_void_and_crowd_excuse_together() -> None:
    gt, pred = _row((0, 3), (5, 3), (2, 4)), _row((1, 10))
    result = _stats(pred, {1: (THING,)}, gt, {5: (THING, True), 2: (OTHER,)})
    assert result == [[0, 0], [0, 0], [0, 0], [0, 1]]


def test_wrong_class_is_both_errors() -> None:
    gt, pred = _row((1, 6)), _row((1, 6))
    assert _stats(pred, {1: (OTHER,)}, gt, {1: (THING,)}) == [[0, 0], [0, 0], [0, 1], [1, 0]]


def test_listed_segments_without_pixels() -> None:
    gt, pred = _row((0, 6)), _row((0, 6))
    assert _stats(pred, {3: (THING,)}, gt, {1: (OTHER,)}) == [[0, 0], [0, 0], [0, 0], [0, 1]]


def test_one_pixel_object() -> None:
    gt, pred = _row((0, 5), (1, 1)), _row((0, 5), (4, 1))
    assert _stats(pred, {4: (THING,)}, gt, {1: (THING,)}) == [[1, 0], [1, 0], [0, 0], [0, 0]]


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\).*\(1, 4\)"):
        pq_statistics(_row((0, 3)), {}, _row((0, 4)), {}, 2)
    with pytest.raises(ValueError, match=r"truth.*0\.\.1"):
        pq_statistics(_row((0, 3)), {}, _row((1, 3)), {1: Segment(2)}, 2)


def test_quality_formula() -> None:
    stats = pq_statistics(
        _row((1, 5), (2, 5)), {1: Segment(0), 2: Segment(0)}, _row((1, 8), (0, 2)),
        {1: Segment(0)}, 2,
    )  # fmt: skip
    # One match with IoU 5/8; the second prediction lies 2 of 5 on void: a false positive.
    quality = panoptic_quality(stats)
    assert quality.pq[0] == pytest.approx(0.625 / 1.5)
    assert quality.sq[0] == pytest.approx(0.625)
    assert quality.rq[0] == pytest.approx(1 / 1.5)
    assert all(np.isnan(values[1]) for values in quality)


def _dense_reference(pred, pred_segments, gt, gt_segments, num_classes):
    """Pair every predicted with every true mask, as the paper words it."""
    iou_sum, tp, fp, fn = (np.zeros(num_classes) for _ in range(4))
    void = ~np.isin(gt, list(gt_segments))
    found = set()
    for i, p in pred_segments.items():
        mask = pred == i
        if not mask.any():
            continue
        hit = False
        for j, g in gt_segments.items():
            if g.iscrowd or g.label != p.label:
                continue
            true = gt == j
            union = ((mask | true) & ~(mask & void)).sum()
            iou = (mask & true).sum() / union if union else 0
            if iou > 0.5:
                hit = True
                found.add(j)
                iou_sum[p.label] += iou
                tp[p.label] += 1
        neutral = void.copy()
        for j, g in gt_segments.items():
            if g.iscrowd and g.label == p.label:
                neutral |= gt == j
        if not hit and (mask & neutral).sum() / mask.sum() <= 0.5:
            fp[p.label] += 1
    for j, g in gt_segments.items():
        fn[g.label] += j not in found and not g.iscrowd
    return iou_sum, tp, fp, fn


@st.composite
def _segmentations(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gt = np.repeat(rng.integers(0, 5, (height, 1)), width, axis=1)
    gt[rng.random(gt.shape) < draw(st.sampled_from([0.0, 0.2, 1.0]))] = rng.integers(0, 5)
    pred = np.where(rng.random(gt.shape) < draw(st.sampled_from([0.0, 0.3, 0.9])), 4, gt)
    gt_segments = {i: Segment(int(rng.integers(3)), bool(rng.random() < 0.25)) for i in range(1, 5)}
    pred_segments = {
        i: gt_segments[i]._replace(iscrowd=False) if rng.random() < 0.7 else Segment(i % 3)
        for i in range(1, 5)
    }
    return pred, pred_segments, gt, gt_segments, 3


@settings(max_examples=150, deadline=None)
@given(_segmentations())
def test_agrees_with_dense_reference(case) -> None:
    for ours, reference in zip(pq_statistics(*case), _dense_reference(*case), strict=True):
        np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-12)


def _matrix_reference(pred, pred_segments, gt, gt_segments, num_classes):
    """The same sums from matrices of all true by all predicted segments, ids 1..n, 0 is void."""
    shape = (len(gt_segments) + 1, len(pred_segments) + 1)
    overlap = np.bincount((gt * shape[1] + pred).ravel(), minlength=shape[0] * shape[1])
    overlap = overlap.reshape(shape)
    pred_area, gt_area = overlap.sum(axis=0)[1:], overlap.sum(axis=1)[1:]
    on_void, inter = overlap[0, 1:], overlap[1:, 1:]
    gt_label = np.array([s.label for s in gt_segments.values()])
    pred_label = np.array([s.label for s in pred_segments.values()])
    crowd = np.array([s.iscrowd for s in gt_segments.values()])
    same = gt_label[:, None] == pred_label
    union = gt_area[:, None] + pred_area - on_void - inter
    iou = np.divide(inter, union, out=np.zeros(inter.shape), where=union > 0)
    match = same & ~crowd[:, None] & (iou > 0.5)
    on_crowd = (inter * (same & crowd[:, None])).sum(axis=0)
    false = ~match.any(axis=0) & (2 * (on_void + on_crowd) <= pred_area) & (pred_area > 0)
    rows, cols = np.nonzero(match)
    labels = (gt_label[rows], gt_label[rows], pred_label[false])
    weights = (iou[rows, cols], None, None)
    sums = [np.bincount(x, w, num_classes) for x, w in zip(labels, weights, strict=True)]
    return *sums, np.bincount(gt_label[~match.any(axis=1) & ~crowd], minlength=num_classes)


def _grid(side: int, cell: int, seed: int):
    """Squares of ``cell`` pixels with gaps of void, shifted by up to two pixels a block."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(1, side**2 + 1).reshape(side, side)
    gt = np.kron(numbers, np.pad(np.ones((cell - 1, cell - 1), dtype=int), (0, 1)))
    pred = gt.copy()
    for columns in np.split(np.arange(side * cell), side // 2):
        pred[:, columns] = np.roll(pred[:, columns], rng.integers(-2, 3, 2), (0, 1))
    segments = {i: Segment(int(rng.integers(4)), bool(rng.random() < 0.1)) for i in numbers.flat}
    found = {
        i: Segment(s.label if rng.random() < 0.8 else int(rng.integers(4)))
        for i, s in segments.items()
    }
    return pred, found, gt, segments, 4


@pytest.mark.parametrize("seed", range(3))
def test_many_segments_agree_with_matrices(seed: int) -> None:
    case = _grid(20, 7, seed)
    stats = pq_statistics(*case)
    for ours, reference in zip(stats, _matrix_reference(*case), strict=True):
        np.testing.assert_array_equal(ours, reference)
    assert all(values.min() > 0 for values in stats)


def test_memory_does_not_grow_with_pairs_of_segments() -> None:
    case = _grid(70, 7, 0)
    tracemalloc.start()
    pq_statistics(*case)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A matrix of 4,900 by 4,900 segments has 183 MiB; the maps have 2 MiB each.
    assert peak < 40 * 2**20
