"""Mask refinement: from a rough brush stroke to an exact mask."""

from attnseg.mask_refine.interactive import InteractiveRefinementModel
from attnseg.mask_refine.model import MaskRefinementModel
from attnseg.mask_refine.preprocessor import RefinementPreprocessor
from attnseg.mask_refine.stroke_unet import StrokeUNet
from attnseg.mask_refine.unet import RefineUNet

__all__ = [
    "InteractiveRefinementModel",
    "MaskRefinementModel",
    "RefineUNet",
    "RefinementPreprocessor",
    "StrokeUNet",
]
