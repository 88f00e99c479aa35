"""Cells as label maps: matches by IoU and the aggregated Jaccard index.

Two label maps overlap in few places, so only the pairs that share pixels are kept: thousands of
cells in an image cost no more than its pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from attnseg.evaluation.functional.pairs import count_pairs


class CellOverlaps(NamedTuple):
    """Cells of one image, N true and P predicted, and the K pairs that share pixels.

    Attributes:
        truth_ids: (N,) ids in the label map, ascending.
        truth_area: (N,) pixels.
        pred_ids: (P,).
        pred_area: (P,).
        truth_index: (K,) position of the true cell of each pair, ascending.
        pred_index: (K,) position of the predicted cell.
        intersection: (K,) pixels that both have.
    """

    truth_ids: np.ndarray
    truth_area: np.ndarray
    pred_ids: np.ndarray
    pred_area: np.ndarray
    truth_index: np.ndarray
    pred_index: np.ndarray
    intersection: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """(K,) pixels that at least one of each pair has."""
        both = self.truth_area[self.truth_index] + self.pred_area[self.pred_index]
        return both - self.intersection

    @property
    def iou(self) -> np.ndarray:
        """(K,) in (0, 1]."""
        return self.intersection / self.union


def cell_overlaps(
    truth: np.ndarray, pred: np.ndarray, ignored: np.ndarray | None = None
) -> CellOverlaps:
    """Count the pixels of all cells and of all pairs of cells.

    Args:
        truth: Ids of cells (H, W), 0 is background.
        pred: Ids of cells (H, W), 0 is background.
        ignored: Regions (H, W), boolean, in which cells are not annotated one by one: a predicted
            cell with more than half of its pixels there is left out. Such a cell has no true
            partner with IoU > 0.5 as long as true cells are not in ``ignored``.

    Raises:
        ValueError: If the maps differ in size.
    """
    if truth.shape != pred.shape:
        raise ValueError(f"Prediction {pred.shape} and truth {truth.shape} differ in size.")
    truth_ids, truth_map = compact(truth)
    pred_ids, pred_map = compact(pred)
    columns = len(pred_ids) + 1
    if ignored is not None:
        area = np.bincount(pred_map.ravel(), minlength=columns)
        keep = 2 * np.bincount(pred_map[ignored], minlength=columns) <= area
        keep[0] = True
        pred_ids = pred_ids[keep[1:]]
        pred_map = np.where(keep, np.cumsum(keep) - 1, 0)[pred_map]
        columns = len(pred_ids) + 1
    rows, cols, counts = count_pairs(truth_map, pred_map)
    both = (rows > 0) & (cols > 0)
    # Sums of integers below 2^53: exact.
    truth_area = np.bincount(rows, counts, minlength=len(truth_ids) + 1)[1:].astype(np.int64)
    pred_area = np.bincount(cols, counts, minlength=columns)[1:].astype(np.int64)
    return CellOverlaps(
        truth_ids, truth_area, pred_ids, pred_area, rows[both] - 1, cols[both] - 1, counts[both]
    )


def select_cells(overlaps: CellOverlaps, truth: np.ndarray, pred: np.ndarray) -> CellOverlaps:
    """Keep some of the cells, for instance those of one class.

    Args:
        overlaps: Of all cells.
        truth: Which true cells to keep (N,), boolean.
        pred: Which predicted cells to keep (P,), boolean.
    """
    pairs = truth[overlaps.truth_index] & pred[overlaps.pred_index]
    return CellOverlaps(
        overlaps.truth_ids[truth],
        overlaps.truth_area[truth],
        overlaps.pred_ids[pred],
        overlaps.pred_area[pred],
        (np.cumsum(truth) - 1)[overlaps.truth_index[pairs]],
        (np.cumsum(pred) - 1)[overlaps.pred_index[pairs]],
        overlaps.intersection[pairs],
    )


def remove_border_cells(labels: np.ndarray, width: int) -> np.ndarray:
    """Set cells with a pixel in the frame of the image to background.

    Args:
        labels: Ids of cells (H, W), 0 is background.
        width: Thickness of the frame in pixels; the NeurIPS-CellSeg challenge takes 2.
    """
    inner = labels[width : max(labels.shape[0] - width, 0), width : max(labels.shape[1] - width, 0)]
    frame = np.ones(labels.shape, dtype=bool)
    frame[width : width + inner.shape[0], width : width + inner.shape[1]] = False
    ids, index = compact(labels)
    keep = np.bincount(index[frame], minlength=len(ids) + 1) == 0
    return np.where(keep[index], labels, 0)


def count_matches(overlaps: CellOverlaps, thresholds: Sequence[float]) -> np.ndarray:
    """Count the pairs of a best one-to-one assignment (true positives) at IoU thresholds.

    The number is that of the Hungarian assignment with which StarDist, Cellpose and the
    NeurIPS-CellSeg challenge maximise the pairs with IoU >= t. Above 0.5 a cell has at most one
    such partner and counting is enough; where cells do have several, the largest matching of the
    sparse graph is sought (Hopcroft and Karp 1973), which needs no dense matrix.

    Args:
        overlaps: Cells of one image.
        thresholds: IoUs t in (0, 1].

    Returns:
        True positives (T,), int64.
    """
    iou = overlaps.iou
    shape = (len(overlaps.truth_ids), len(overlaps.pred_ids))
    found = np.zeros(len(thresholds), dtype=np.int64)
    for position, threshold in enumerate(thresholds):
        good = iou >= threshold
        rows, cols = overlaps.truth_index[good], overlaps.pred_index[good]
        if _all_different(rows) and _all_different(cols):
            found[position] = len(rows)
        else:
            graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, cols)), shape).tocsr()
            found[position] = (maximum_bipartite_matching(graph) >= 0).sum()
    return found


def aggregated_jaccard(overlaps: CellOverlaps) -> tuple[int, int]:
    """Intersection and union of the aggregated Jaccard index, in pixels; AJI is their ratio.

    Each true cell takes the predicted cell with the highest IoU, the first of equals; predicted
    cells that none took add to the union. A predicted cell may be taken twice, as in the
    definition (Kumar et al., IEEE TMI 2017, algorithm 1). The union is 0 where there is no cell.
    """
    truth_index, pred_index = overlaps.truth_index, overlaps.pred_index
    # Sorted by true cell, then from the highest IoU; lexsort keeps the order of equals.
    order = np.lexsort((-overlaps.iou, truth_index))
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(truth_index[order]) > 0
    best = order[first]
    alone_truth = np.ones(len(overlaps.truth_ids), dtype=bool)
    alone_truth[truth_index[best]] = False
    alone_pred = np.ones(len(overlaps.pred_ids), dtype=bool)
    alone_pred[pred_index[best]] = False
    union = overlaps.union[best].sum()
    union += overlaps.truth_area[alone_truth].sum() + overlaps.pred_area[alone_pred].sum()
    return int(overlaps.intersection[best].sum()), int(union)


def compact(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the ids of a label map 1..n in ascending order; 0 stays background.

    Args:
        labels: Integer ids (H, W).

    Returns:
        The n ids other than 0, and the numbers (H, W).

    Raises:
        ValueError: If the map is not an integer map (H, W), or an id is negative.
    """
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"A label map has integers (H, W), not {labels.dtype} {labels.shape}.")
    if not labels.size:
        return np.zeros(0, dtype=np.int64), labels.astype(np.int64)
    if labels.min() < 0:
        raise ValueError(f"A label map has ids from 0 (background) on, not {labels.min()}.")
    if labels.max() <= labels.size:
        # A table is several times faster than sorting the pixels.
        present = np.bincount(labels.ravel()) > 0
        present[0] = False
        return np.flatnonzero(present), (np.cumsum(present) * present)[labels]
    ids, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape)
    return (ids[1:], index) if ids[0] == 0 else (ids, index + 1)


def _all_different(values: np.ndarray) -> bool:
    return len(np.unique(values)) == len(values)
