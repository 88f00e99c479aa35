"""Boundaries of classes from per-image statistics.

Arrays of the table: ``intersection`` and ``union`` of boundary regions, pixel counts (n, C);
``hd``, ``hd95`` and ``asd``, distances in pixels (n, C), NaN where neither map has the class.
"""

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.functional.sums import (
    mean_of_defined,
    ratio,
    weighted_mean,
    weighted_sum,
)
from attnseg.per_image import PerImageTable


def boundary_scores(
    table: PerImageTable, weights: NDArray[np.integer]
) -> dict[str, NDArray[np.float64]]:
    """Compute Boundary IoU, Hausdorff distance, HD95 and average surface distance.

    Boundary IoU of a class comes from the pixels of all images (0 to 1, higher is better); the
    distances are means over the images that have the class (pixels, lower is better). Means over
    classes (``m...``) leave out classes that no image has.
    """
    intersection, union = (
        weighted_sum(weights, table.arrays[key]) for key in ("intersection", "union")
    )
    per_class = {"BoundaryIoU": ratio(intersection, union)}
    for key in ("hd", "hd95", "asd"):
        per_class[key.upper()] = weighted_mean(weights, table.arrays[key])
    scores = {f"m{name}": mean_of_defined(values) for name, values in per_class.items()}
    for name, values in per_class.items():
        scores |= {f"{name}/{cls}": values[:, i] for i, cls in enumerate(table.classes)}
    return scores
