"""Metrics as pure functions of arrays and records: no model, no data set, no registry."""

from attnseg.evaluation.functional.area import AreaStatistics, area_scores, area_statistics
from attnseg.evaluation.functional.average_precision import ApTable, evaluate_detections
from attnseg.evaluation.functional.boundary import (
    average_surface_distance,
    boundary_iou,
    boundary_region,
    boundary_width,
    hausdorff,
    surface_distances,
)
from attnseg.evaluation.functional.cells import (
    aggregated_jaccard,
    cell_overlaps,
    count_matches,
)
from attnseg.evaluation.functional.panoptic_quality import (
    PanopticStatistics,
    Segment,
    panoptic_quality,
    pq_statistics,
)
from attnseg.evaluation.functional.refinement import (
    MaskScores,
    contour_iou,
    mask_scores,
    region_hausdorff,
)

__all__ = [
    "ApTable",
    "AreaStatistics",
    "MaskScores",
    "PanopticStatistics",
    "Segment",
    "aggregated_jaccard",
    "area_scores",
    "area_statistics",
    "average_surface_distance",
    "boundary_iou",
    "boundary_region",
    "boundary_width",
    "cell_overlaps",
    "contour_iou",
    "count_matches",
    "evaluate_detections",
    "hausdorff",
    "mask_scores",
    "panoptic_quality",
    "pq_statistics",
    "region_hausdorff",
    "surface_distances",
]
