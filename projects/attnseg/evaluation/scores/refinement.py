"""Refined masks beside the coarse ones they were made from, from sums over each image's objects.

Arrays of the table: ``objects`` (n,), and for ``pred`` and ``coarse`` the sums (n, 6) of the values
that are defined, and how many are: ``pred_defined``, ``coarse_defined`` (n, 6), which are equal
since the truth decides: less than ``objects`` only where it has no contour. The order is that of
`attnseg.evaluation.functional.refinement.MaskScores`.
"""

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.functional.sums import ratio, weighted_sum
from attnseg.per_image import PerImageTable

NAMES = ("IoU", "BoundaryIoU", "ContourIoU", "Hausdorff", "HD95", "Acc")
_MAIN = ("IoU", "BoundaryIoU", "HD95")
_DISTANCES = ("Hausdorff", "HD95")


def refinement_scores(
    table: PerImageTable, weights: NDArray[np.integer]
) -> dict[str, NDArray[np.float64]]:
    """Compute means over objects: of the prediction, ``coarse_``, and by how much it is better.

    Images are resampled with all their objects. ``gain_`` is the prediction less the coarse mask,
    and the other way round for distances: positive is better for all of them. IoU, BoundaryIoU and
    HD95 come first, then their gains and what they are of the coarse masks, then the others.
    """
    means = {
        name: ratio(
            weighted_sum(weights, table.arrays[name]),
            weighted_sum(weights, table.arrays[f"{name}_defined"]),
        )
        for name in ("pred", "coarse")
    }
    scores: dict[str, NDArray[np.float64]] = {}
    for names in (_MAIN, [name for name in NAMES if name not in _MAIN]):
        pred, coarse = (
            {name: means[part][:, NAMES.index(name)] for name in names}
            for part in ("pred", "coarse")
        )
        scores |= pred
        for name in names:
            gain = pred[name] - coarse[name]
            scores[f"gain_{name}"] = -gain if name in _DISTANCES else gain
        scores |= {f"coarse_{name}": value for name, value in coarse.items()}
    return scores
