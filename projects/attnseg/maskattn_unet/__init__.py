"""MaskAttn-UNet: mask attention for low-resolution segmentation."""

from attnseg.maskattn_unet.head import PixelEmbeddingHead
from attnseg.maskattn_unet.segmentor import PixelSegmentor
from attnseg.maskattn_unet.tta import PixelTTAModel
from attnseg.maskattn_unet.unet import MaskAttnUNet

__all__ = ["MaskAttnUNet", "PixelEmbeddingHead", "PixelSegmentor", "PixelTTAModel"]
