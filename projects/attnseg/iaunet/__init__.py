"""IAUNet: query-based U-Net for instances of cells."""

from attnseg.iaunet.detector import IAUNet
from attnseg.iaunet.encoder import UNetEncoder
from attnseg.iaunet.head import IAUNetHead

__all__ = ["IAUNet", "IAUNetHead", "UNetEncoder"]
