"""Loading, checks and augmentation; each works in pipelines of mmdet and of mmseg."""

from .check import CheckSample
from .image import LoadImage
from .jitter import ScaleJitter
from .normalize import NormalizeChannels
from .panoptic import LoadPanopticAsSemantic, LoadPanopticMap, SplitPanopticMap

__all__ = [
    "CheckSample",
    "LoadImage",
    "LoadPanopticAsSemantic",
    "LoadPanopticMap",
    "NormalizeChannels",
    "ScaleJitter",
    "SplitPanopticMap",
]
