"""Metrics as pure functions of arrays and records: no model, no data set, no registry."""

from attnseg.evaluation.functional.area import AreaStatistics, area_scores, area_statistics
from attnseg.evaluation.functional.average_precision import ApTable, evaluate_detections
from attnseg.evaluation.functional.panoptic_quality import (
    PanopticStatistics,
    Segment,
    panoptic_quality,
    pq_statistics,
)

__all__ = [
    "ApTable",
    "AreaStatistics",
    "PanopticStatistics",
    "Segment",
    "area_scores",
    "area_statistics",
    "evaluate_detections",
    "panoptic_quality",
    "pq_statistics",
]
