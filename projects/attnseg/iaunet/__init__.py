"""IAUNet: query-based U-Net for instances of cells."""

import attnseg.registry  # noqa: F401  (sets the stack up before mmdet's models are imported)
from attnseg.iaunet.detector import IAUNet
from attnseg.iaunet.encoder import UNetEncoder
from attnseg.iaunet.head import IAUNetHead
from attnseg.iaunet.mask_set_loss import MaskSetLoss
from attnseg.iaunet.matching import HungarianMaskMatcher
from attnseg.iaunet.sliding_window import SlidingWindowDetector

__all__ = [
    "HungarianMaskMatcher",
    "IAUNet",
    "IAUNetHead",
    "MaskSetLoss",
    "SlidingWindowDetector",
    "UNetEncoder",
]
