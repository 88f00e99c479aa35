"""IAUNet: query-based U-Net for instances of cells."""

from attnseg.iaunet.detector import IAUNet
from attnseg.iaunet.encoder import UNetEncoder
from attnseg.iaunet.head import IAUNetHead
from attnseg.iaunet.mask_set_loss import MaskSetLoss
from attnseg.iaunet.matching import HungarianMaskMatcher

__all__ = ["HungarianMaskMatcher", "IAUNet", "IAUNetHead", "MaskSetLoss", "UNetEncoder"]
