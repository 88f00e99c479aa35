"""Parts of the peers of IAUNet that mmdet's own lack; the peers themselves are configs."""

import attnseg.registry  # noqa: F401  (sets the stack up before mmdet's models are imported)
from attnseg.baselines.point_rend import PointRendRoIHead

__all__ = ["PointRendRoIHead"]
