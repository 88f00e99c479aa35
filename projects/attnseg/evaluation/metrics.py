"""All registered metrics: the registry finds them here."""

from attnseg.evaluation.boundary_metric import BoundaryMetric
from attnseg.evaluation.cell_metric import CellMetric
from attnseg.evaluation.instance_metric import CocoInstanceMetric
from attnseg.evaluation.panoptic_metric import PanopticMetric
from attnseg.evaluation.prediction_writer import PredictionWriter
from attnseg.evaluation.refinement_metric import RefinementMetric
from attnseg.evaluation.semantic_metric import SemanticMetric

__all__ = [
    "BoundaryMetric",
    "CellMetric",
    "CocoInstanceMetric",
    "PanopticMetric",
    "PredictionWriter",
    "RefinementMetric",
    "SemanticMetric",
]
