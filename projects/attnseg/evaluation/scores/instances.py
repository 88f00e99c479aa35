"""COCO AP and AR from per-image matches.

Arrays of the table, for D detections, M pairs of image and class with objects, A area ranges (all
sizes first, then those of the settings): ``det_image``, ``det_class``, ``det_score``, ``det_rank``
(D,), ``det_matched``, ``det_ignored`` (D, A) with a bit for each of COCO's ten thresholds;
``gt_image``, ``gt_class`` (M,), ``gt_count`` (M, A); ``is_thing`` (C,). See
`attnseg.evaluation.functional.matching`.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.functional.ap_curve import (
    ClassDetections,
    mean_precision,
    sort_detections,
    split_copies,
)
from attnseg.evaluation.functional.sums import mean_of_defined
from attnseg.per_image import PerImageTable

THRESHOLDS = 10
AP75 = 5
_THREADS = 2

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


class _ClassScores(NamedTuple):
    """Of one class: precision (R, A, T) and highest recall (R, M, T); NaN without objects."""

    precision: Floats
    recall: Floats


def instance_scores(table: PerImageTable, weights: Ints) -> dict[str, Floats]:
    """Compute AP, AP50, AP75, AP of each area range, AR, AR at each limit, and per class.

    Each resample has exactly the value of ``COCOeval.accumulate`` on the images with their copies
    next to each other, at the last limit of detections. Means leave out the classes that have no
    object (of that size) in the resample.
    """
    things = np.flatnonzero(table.arrays["is_thing"])
    limits = [int(limit) for limit in table.settings["max_dets"]]
    columns = _columns(table.arrays, weights.shape[1])

    def one_class(label: int) -> _ClassScores:
        return _score_class(columns, label, weights, limits)

    # numpy lets go of the interpreter in large operations.
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        found = list(pool.map(one_class, things.tolist()))
    areas = list(table.settings["area_ranges"])
    shape = (len(found), len(weights))
    precision = _stack([f.precision for f in found], (*shape, 1 + len(areas), THRESHOLDS))
    recall = _stack([f.recall for f in found], (*shape, len(limits), THRESHOLDS))
    ap, ap50, ap75 = precision.mean(axis=3), precision[..., 0], precision[..., AP75]
    ar = recall.mean(axis=3)

    scores = {"AP": ap[..., 0], "AP50": ap50[..., 0], "AP75": ap75[..., 0]}
    scores |= {f"AP{area}": ap[..., i] for i, area in enumerate(areas, 1)}
    scores |= {"AR": ar[..., -1]} | {f"AR@{limit}": ar[..., i] for i, limit in enumerate(limits)}
    values = {key: mean_of_defined(array, axis=0) for key, array in scores.items()}
    for row, label in enumerate(things):
        name = table.classes[label]
        values |= {f"{key}/{name}": scores[key][row] for key in ("AP", "AP50", "AR")}
    return values


class _Columns(NamedTuple):
    """The arrays of the table by class."""

    arrays: Mapping[str, NDArray]
    detections: dict[int, Ints]
    objects: dict[int, Ints]


def _columns(arrays: Mapping[str, NDArray], images: int) -> _Columns:
    for key in ("det_image", "gt_image"):
        wrong = arrays[key][(arrays[key] < 0) | (arrays[key] >= images)]
        if len(wrong):
            raise ValueError(
                f"'{key}' names image {wrong[0]}, but the table has {images} images (from 0): the "
                "statistics are damaged; evaluate the checkpoint again."
            )
    return _Columns(arrays, _rows_by_class(arrays["det_class"]), _rows_by_class(arrays["gt_class"]))


def _rows_by_class(labels: Ints) -> dict[int, Ints]:
    order = np.argsort(labels, kind="stable")
    found, start = np.unique(labels[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, start[1:]), strict=True)) if len(order) else {}


def _score_class(columns: _Columns, label: int, weights: Ints, limits: list[int]) -> _ClassScores:
    arrays, nothing = columns.arrays, np.empty(0, dtype=np.int64)
    rows = columns.objects.get(label, nothing)
    objects = _weighted_counts(weights, arrays["gt_image"][rows], arrays["gt_count"][rows].T)
    rows = columns.detections.get(label, nothing)
    detections = sort_detections(
        arrays["det_image"][rows],
        arrays["det_score"][rows],
        arrays["det_rank"][rows],
        arrays["det_matched"][rows],
        arrays["det_ignored"][rows],
        THRESHOLDS,
    )
    most = weights.max(axis=0, initial=0)
    precision = mean_precision(split_copies(detections, most), weights, objects)
    precision[objects == 0] = np.nan
    return _ClassScores(precision, _highest_recall(detections, weights, objects[:, 0], limits))


def _weighted_counts(weights: Ints, image: Ints, counts: NDArray) -> Ints:
    """Sum counts (K, N) of N things in these images over each resample: (R, K)."""
    share = weights.take(image, axis=1).astype(np.float64)
    # Exact for integers. No matrix product: its threads would wait for those of the classes.
    total = np.einsum("ri,ki->rk", share, np.ascontiguousarray(counts, dtype=np.float64))
    return total.astype(np.int64)


def _highest_recall(
    detections: ClassDetections, weights: Ints, objects: Ints, limits: list[int]
) -> Floats:
    """Share of the objects of all sizes found within each limit of detections: (R, M, T)."""
    hit = detections.hit[0]
    useful = np.flatnonzero(hit.any(axis=0))
    within = detections.rank[useful] < np.array(limits)[:, None]
    counted = (within[:, None] & hit[:, useful]).reshape(len(limits) * THRESHOLDS, len(useful))
    found = _weighted_counts(weights, detections.image[useful], counted)
    found = found.reshape(len(weights), len(limits), THRESHOLDS)
    total = objects.astype(np.float64)[:, None, None]
    return np.divide(found, total, out=np.full(found.shape, np.nan), where=total > 0)


def _stack(parts: list[Floats], shape: tuple[int, ...]) -> Floats:
    return np.stack(parts) if parts else np.empty(shape)
