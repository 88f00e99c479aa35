"""Mask refinement: from a rough brush stroke to an exact mask."""

from attnseg.mask_refine.unet import RefineUNet

__all__ = ["RefineUNet"]
