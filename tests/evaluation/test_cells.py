"""Matches of cells and AJI against dense definitions with scipy's Hungarian assignment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from attnseg.evaluation.functional.cells import (
    aggregated_jaccard,
    cell_overlaps,
    count_matches,
    remove_border_cells,
    select_cells,
)

THRESHOLDS = (0.05, 0.1, 0.3, 0.5, 0.55, 0.75, 0.95, 1.0)


def _ids(labels: np.ndarray) -> list[int]:
    return [i for i in sorted(set(labels.ravel().tolist())) if i]


def _iou(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Dense IoU matrix, mask by mask."""
    iou = np.zeros((len(_ids(truth)), len(_ids(pred))))
    for i, a in enumerate(_ids(truth)):
        for j, b in enumerate(_ids(pred)):
            iou[i, j] = ((truth == a) & (pred == b)).sum() / ((truth == a) | (pred == b)).sum()
    return iou


def _hungarian(truth: np.ndarray, pred: np.ndarray, threshold: float) -> int:
    """True positives with the costs of StarDist, Cellpose and NeurIPS-CellSeg."""
    iou = _iou(truth, pred)
    if not iou.size:
        return 0
    costs = -(iou >= threshold).astype(float) - iou / (2 * min(iou.shape))
    rows, cols = linear_sum_assignment(costs)
    return int((iou[rows, cols] >= threshold).sum())


def _aji(truth: np.ndarray, pred: np.ndarray) -> tuple[int, int]:
    """Algorithm 1 of Kumar et al., line by line."""
    iou, used = _iou(truth, pred), set()
    intersection = union = 0
    for i, a in enumerate(_ids(truth)):
        mask = truth == a
        if iou.shape[1] and iou[i].max() > 0:
            best = int(iou[i].argmax())
            used.add(best)
            other = pred == _ids(pred)[best]
            intersection += (mask & other).sum()
            union += (mask | other).sum()
        else:
            union += mask.sum()
    union += sum((pred == b).sum() for j, b in enumerate(_ids(pred)) if j not in used)
    return int(intersection), int(union)


@st.composite
def _maps(draw) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = (draw(st.integers(1, 8)), draw(st.integers(1, 12)))
    truth = rng.integers(0, draw(st.integers(1, 12)), size)
    pred = np.where(rng.random(size) < draw(st.sampled_from([0.0, 0.2, 1.0])),
                    rng.integers(0, draw(st.integers(1, 12)), size), truth)  # fmt: skip
    if draw(st.booleans()):
        # Ids far apart, as instance values of panoptic maps are.
        truth, pred = truth * 1000, pred * 70001
    return truth, pred


@settings(max_examples=200, deadline=None)
@given(_maps())
def test_agrees_with_hungarian_assignment(maps) -> None:
    truth, pred = maps
    overlaps = cell_overlaps(truth, pred)
    expected = [_hungarian(truth, pred, t) for t in THRESHOLDS]
    assert count_matches(overlaps, THRESHOLDS).tolist() == expected
    assert aggregated_jaccard(overlaps) == _aji(truth, pred)
    assert overlaps.truth_ids.tolist() == _ids(truth)
    assert overlaps.pred_area.tolist() == [(pred == i).sum() for i in _ids(pred)]


@settings(max_examples=100, deadline=None)
@given(_maps(), st.integers(0, 2**32 - 1))
def test_selection_equals_maps_without_the_others(maps, seed: int) -> None:
    truth, pred = maps
    overlaps = cell_overlaps(truth, pred)
    rng = np.random.default_rng(seed)
    keep = [rng.random(len(ids)) < 0.6 for ids in (overlaps.truth_ids, overlaps.pred_ids)]
    direct = cell_overlaps(
        np.where(np.isin(truth, overlaps.truth_ids[keep[0]]), truth, 0),
        np.where(np.isin(pred, overlaps.pred_ids[keep[1]]), pred, 0),
    )
    for ours, expected in zip(select_cells(overlaps, *keep), direct, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_two_halves_of_a_cell_match_it_once_at_a_half() -> None:
    # Both halves have IoU 0.5 exactly: counting pairs would find two matches.
    overlaps = cell_overlaps(np.ones((2, 4), int), np.array([[1, 1, 2, 2]] * 2))
    assert count_matches(overlaps, (0.5, 0.55)).tolist() == [1, 0]


def test_matching_beats_taking_the_best_first() -> None:
    # Cell 1 fits a best, but only if it takes b can cell 2 take a.
    truth = np.array([[1] * 6 + [2] * 4])
    pred = np.array([[2] * 2 + [1] * 4 + [1] * 2 + [0] * 2])
    overlaps = cell_overlaps(truth, pred)
    np.testing.assert_allclose(overlaps.iou, [4 / 8, 2 / 6, 2 / 8])
    assert count_matches(overlaps, (0.25, 0.4)).tolist() == [2, 1]


def test_iou_on_the_threshold_counts() -> None:
    for shared in range(50, 100, 5):
        overlaps = cell_overlaps(np.ones((1, 100), int), (np.arange(100) < shared)[None] * 1)
        assert count_matches(overlaps, (shared / 100,)) == 1


def test_aji_takes_a_prediction_twice() -> None:
    truth, pred = np.array([[1, 1, 2, 2, 0, 0]]), np.array([[5, 5, 5, 5, 0, 7]])
    # Both cells take 5: intersection 2 + 2, union 4 + 4; 7 is taken by none.
    assert aggregated_jaccard(cell_overlaps(truth, pred)) == (4, 9)


def test_border_cells() -> None:
    labels = np.zeros((9, 12), dtype=np.int32)
    labels[0, 3:5], labels[2:4, 2:4], labels[4:6, 5:8], labels[1, 9], labels[5, 8] = 1, 2, 3, 4, 3
    assert _ids(remove_border_cells(labels, 1)) == [2, 3, 4]
    assert _ids(remove_border_cells(labels, 2)) == [2, 3]
    assert _ids(remove_border_cells(labels, 3)) == [3]
    assert not remove_border_cells(labels, 50).any()
    assert (remove_border_cells(labels, 0) == labels).all()


def test_ignored_regions() -> None:
    truth = np.array([[1, 1, 1, 0, 0, 0, 0, 0]])
    ignored = np.array([[0, 0, 0, 1, 1, 1, 0, 0]], dtype=bool)
    pred = np.array([[1, 1, 1, 2, 2, 3, 3, 0]])
    overlaps = cell_overlaps(truth, pred, ignored)
    # 2 lies on it, 3 only by half.
    assert overlaps.pred_ids.tolist() == [1, 3]
    assert overlaps.pred_area.tolist() == [3, 2]
    assert count_matches(overlaps, (1.0,)) == 1


@pytest.mark.parametrize("empty", [(0, 0), (0, 1), (1, 0)])
def test_maps_without_cells(empty: tuple[int, int]) -> None:
    overlaps = cell_overlaps(*(np.full((3, 5), value) for value in empty))
    assert count_matches(overlaps, THRESHOLDS).tolist() == [0] * len(THRESHOLDS)
    assert aggregated_jaccard(overlaps) == (0, 15 * sum(empty))


def test_thousands_of_cells() -> None:
    truth = np.kron(np.arange(1, 10001).reshape(100, 100), np.ones((10, 10), int))
    pred = np.roll(truth, 1, axis=1)
    # IoU 90 / 110 for all but the first column, whose cells are split by the roll.
    overlaps = cell_overlaps(truth, pred)
    assert count_matches(overlaps, (0.5, 0.8, 0.85)).tolist() == [10000, 10000, 0]


def test_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\).*\(1, 4\)"):
        cell_overlaps(np.zeros((1, 4), int), np.zeros((1, 3), int))
    with pytest.raises(ValueError, match="not -1"):
        cell_overlaps(np.zeros((1, 4), int), np.full((1, 4), -1))
    with pytest.raises(ValueError, match="float64"):
        cell_overlaps(np.zeros((1, 4)), np.zeros((1, 4)))
