"""Semantic segmentation from per-image areas.

Arrays of the table: ``intersect``, ``union``, ``pred`` and ``label``, pixel counts (n, C).
"""

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.functional.area import AreaStatistics, area_scores
from attnseg.evaluation.functional.sums import mean_of_defined, weighted_sum
from attnseg.per_image import PerImageTable


def semantic_scores(
    table: PerImageTable, weights: NDArray[np.integer]
) -> dict[str, NDArray[np.float64]]:
    """Compute mIoU, mAcc, mDice, aAcc, and ``IoU``, ``Acc`` and ``Dice`` per class, in [0, 1].

    Means over classes leave out the classes that are not defined.
    """
    found = area_scores(
        AreaStatistics(*(weighted_sum(weights, table.arrays[k]) for k in AreaStatistics._fields))
    )
    per_class = {"IoU": found.iou, "Acc": found.accuracy, "Dice": found.dice}
    scores = {f"m{name}": mean_of_defined(values) for name, values in per_class.items()}
    scores["aAcc"] = found.pixel_accuracy
    for name, values in per_class.items():
        scores |= {f"{name}/{cls}": values[:, i] for i, cls in enumerate(table.classes)}
    return scores
