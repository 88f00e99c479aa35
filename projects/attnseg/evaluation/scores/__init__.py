"""From per-image statistics to metric values, for any number of resamples of the images at once.

One module per metric. The value that a run reports, its bootstrap interval and the difference
between two runs all come from the same function, so they cannot disagree; only AP is reported by
faster-coco-eval, and compared with the value from here in each run.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.scores.boundary import boundary_scores
from attnseg.evaluation.scores.cells import cell_scores
from attnseg.evaluation.scores.instances import instance_scores
from attnseg.evaluation.scores.panoptic import panoptic_scores
from attnseg.evaluation.scores.refinement import refinement_scores
from attnseg.evaluation.scores.semantic import semantic_scores
from attnseg.per_image import PerImageTable

Weights = NDArray[np.integer]
Scorer = Callable[[PerImageTable, Weights], dict[str, NDArray[np.float64]]]

SCORERS: dict[str, Scorer] = {
    "BoundaryMetric": boundary_scores,
    "CellMetric": cell_scores,
    "CocoInstanceMetric": instance_scores,
    "PanopticMetric": panoptic_scores,
    "RefinementMetric": refinement_scores,
    "SemanticMetric": semantic_scores,
}
"""Class name of a metric -> its function."""


def score(table: PerImageTable, weights: Weights | None = None) -> dict[str, NDArray[np.float64]]:
    """Compute all values of a metric for each resample of the images.

    Args:
        table: Statistics of n images.
        weights: Integers (R, n): how often each image counts in each of R resamples. Without
            them every image counts once, and R is 1.

    Returns:
        Values (R,) by name, without the prefix; NaN where a resample does not define one.

    Raises:
        ValueError: If the weights are not (R, n), the metric is unknown, or statistics lack.
    """
    scorer = SCORERS.get(table.metric)
    if scorer is None:
        raise ValueError(
            f"no scores for the statistics of '{table.metric}'; known: {', '.join(SCORERS)}."
        )
    images = len(table.images)
    if weights is None:
        weights = np.ones((1, images), dtype=np.int64)
    if weights.ndim != 2 or weights.shape[1] != images:
        raise ValueError(f"weights of shape {weights.shape} do not fit {images} images: (R, n).")
    try:
        return scorer(table, weights)
    except KeyError as error:
        raise ValueError(
            f"the statistics of '{table.metric}' lack {error}: another version wrote them."
        ) from error
