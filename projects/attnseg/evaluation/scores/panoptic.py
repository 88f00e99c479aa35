"""Panoptic quality from per-image matches.

Arrays of the table: ``iou`` (sum over matches), ``tp``, ``fp`` and ``fn`` (n, C), and ``is_thing``
(C,).
"""

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.functional.panoptic_quality import PanopticStatistics, panoptic_quality
from attnseg.evaluation.functional.sums import mean_of_defined, weighted_sum
from attnseg.per_image import PerImageTable


def panoptic_scores(
    table: PerImageTable, weights: NDArray[np.integer]
) -> dict[str, NDArray[np.float64]]:
    """Compute PQ, SQ and RQ of all classes, things (``_th``), stuff (``_st``) and per class."""
    sums = (weighted_sum(weights, table.arrays[key]) for key in PanopticStatistics._fields)
    quality = panoptic_quality(PanopticStatistics(*sums))._asdict()
    things = np.asarray(table.arrays["is_thing"], dtype=bool)
    groups = {"": np.ones_like(things), "_th": things, "_st": ~things}
    scores = {
        name.upper() + suffix: mean_of_defined(values[:, chosen])
        for suffix, chosen in groups.items()
        for name, values in quality.items()
    }
    for name, values in quality.items():
        scores |= {f"{name.upper()}/{c}": values[:, i] for i, c in enumerate(table.classes)}
    return scores
