"""All registered metrics: the registry finds them here."""

from attnseg.evaluation.cell_metric import CellMetric
from attnseg.evaluation.instance_metric import CocoInstanceMetric
from attnseg.evaluation.panoptic_metric import PanopticMetric
from attnseg.evaluation.semantic_metric import SemanticMetric

__all__ = ["CellMetric", "CocoInstanceMetric", "PanopticMetric", "SemanticMetric"]
