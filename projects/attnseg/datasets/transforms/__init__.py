"""Loading, checks and augmentation; each works in pipelines of mmdet and of mmseg."""

from .check import CheckSample
from .image import LoadImage
from .jitter import ScaleJitter
from .normalize import NormalizeChannels
from .object_mask import CoarseMask, FlipObject, LoadObjectMask
from .panoptic import LoadPanopticAsSemantic, LoadPanopticMap, SplitPanopticMap
from .refinement import CropToStroke, PackRefinement

__all__ = [
    "CheckSample",
    "CoarseMask",
    "CropToStroke",
    "FlipObject",
    "LoadImage",
    "LoadObjectMask",
    "LoadPanopticAsSemantic",
    "LoadPanopticMap",
    "NormalizeChannels",
    "PackRefinement",
    "ScaleJitter",
    "SplitPanopticMap",
]
