"""Metrics for mmdet and mmseg data samples, and what is computed from their statistics.

The metrics are imported on first use: whoever only reads statistics needs no mmdet.
"""

import importlib
from typing import Any

_METRICS = (
    "BoundaryMetric",
    "CellMetric",
    "CocoInstanceMetric",
    "PanopticMetric",
    "PredictionWriter",
    "RefinementMetric",
    "SemanticMetric",
)


def __getattr__(name: str) -> Any:
    if name in _METRICS:
        return getattr(importlib.import_module("attnseg.evaluation.metrics"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
