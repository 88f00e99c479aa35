"""Cells from per-image matches.

Arrays of the table: ``tp`` (n, G, T), ``truth``, ``pred``, ``aji_intersection``, ``aji_union``
(n, G) and ``group`` (G,): -1 for the cells of all classes together, else the label of a class.
"""

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.functional.sums import ratio, weighted_mean, weighted_sum
from attnseg.per_image import PerImageTable

Array = NDArray[np.float64]


def cell_scores(table: PerImageTable, weights: NDArray[np.integer]) -> dict[str, Array]:
    """Compute F1, AP, precision and recall at each IoU threshold and their means, and AJI.

    AP is TP / (TP + FP + FN) as in cell papers (Stringer et al., Nature Methods 2021). Each
    is the mean over images, as in the NeurIPS-CellSeg challenge and in Cellpose, and once more
    from the sums over all images (``F1_pooled``). An image with neither true nor predicted cells
    has no value (NaN) and is left out of the mean; where only one of them has cells, all values of
    the image are 0. Classes have ``F1``, ``AP`` and ``AJI``, means over images.
    """
    arrays = table.arrays
    tp = arrays["tp"].astype(np.float64)
    truth, pred = (arrays[key].astype(np.float64)[..., None] for key in ("truth", "pred"))
    rates = _rates(tp, truth, pred)
    per_image = {name: weighted_mean(weights, values) for name, values in rates.items()}
    pooled = _rates(*(weighted_sum(weights, values) for values in (tp, truth, pred)))
    areas = [arrays[key].astype(np.float64) for key in ("aji_intersection", "aji_union")]
    aji = weighted_mean(weights, ratio(*areas))
    aji_pooled = ratio(*(weighted_sum(weights, values) for values in areas))

    group = arrays["group"].tolist()
    together = group.index(-1)
    names = [threshold_name(t) for t in table.settings["thresholds"]]
    scores: dict[str, Array] = {}
    for suffix, values in (("", per_image), ("_pooled", pooled)):
        for name, rate in values.items():
            scores[name + suffix] = rate[:, together].mean(axis=-1)
            for index, threshold in enumerate(names):
                scores[f"{name}{suffix}@{threshold}"] = rate[:, together, index]
    scores |= {"AJI": aji[:, together], "AJI_pooled": aji_pooled[:, together]}
    for index, label in enumerate(group):
        if label >= 0:
            cls = table.classes[label]
            scores[f"F1/{cls}"] = per_image["F1"][:, index].mean(axis=-1)
            scores[f"AP/{cls}"] = per_image["AP"][:, index].mean(axis=-1)
            scores[f"AJI/{cls}"] = aji[:, index]
    return scores


def threshold_name(threshold: float) -> str:
    """Write a threshold for a metric's key: two digits, three where needed."""
    return f"{threshold:.3f}".removesuffix("0")


def _rates(tp: Array, truth: Array, pred: Array) -> dict[str, Array]:
    """Ratios of counts (..., G, T); ``truth`` and ``pred`` are (..., G, 1)."""
    tp, truth, pred = np.broadcast_arrays(tp, truth, pred)
    some = truth + pred > 0
    return {
        "F1": ratio(2 * tp, truth + pred),
        "AP": ratio(tp, truth + pred - tp),
        # 0 where the divisor is 0 but the other map has cells: never better than a wrong cell.
        "Precision": np.where(some, tp / np.maximum(pred, 1), np.nan),
        "Recall": np.where(some, tp / np.maximum(truth, 1), np.nan),
    }
