"""Refined masks beside the coarse ones they were made from, from sums over each image's objects.

Arrays of the table: ``objects`` (n,), and for ``pred`` and ``coarse`` the sums (n, 6) of the values
that are defined, and how many are: ``pred_defined``, ``coarse_defined`` (n, 6). The order is that
of `attnseg.evaluation.functional.refinement.MaskScores`.
"""

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.functional.sums import ratio, weighted_sum
from attnseg.per_image import PerImageTable

NAMES = ("IoU", "BoundaryIoU", "ContourIoU", "Hausdorff", "HD95", "Acc")
_DISTANCES = ("Hausdorff", "HD95")


def refinement_scores(
    table: PerImageTable, weights: NDArray[np.integer]
) -> dict[str, NDArray[np.float64]]:
    """Compute means over objects: of the prediction, ``coarse_``, and by how much it is better.

    Images are resampled with all their objects. ``gain_`` is the prediction less the coarse mask,
    and the other way round for distances: positive is better for all of them.
    """
    means = {
        name: ratio(
            weighted_sum(weights, table.arrays[name]),
            weighted_sum(weights, table.arrays[f"{name}_defined"]),
        )
        for name in ("pred", "coarse")
    }
    scores = {}
    for column, name in enumerate(NAMES):
        pred, coarse = means["pred"][:, column], means["coarse"][:, column]
        scores[name] = pred
        scores[f"coarse_{name}"] = coarse
        scores[f"gain_{name}"] = coarse - pred if name in _DISTANCES else pred - coarse
    return scores
