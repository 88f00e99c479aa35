"""Data sets, loaders and transforms, and the generated demo set."""

from .checks import make_palette
from .coco import CocoInstanceDataset, CocoPanopticDataset
from .demo import generate_demo_set
from .semantic import CocoPanopticSemanticDataset, SemanticDataset
from .transforms import (
    CheckSample,
    LoadImage,
    LoadPanopticAsSemantic,
    LoadPanopticMap,
    ScaleJitter,
    SplitPanopticMap,
)

__all__ = [
    "CheckSample",
    "CocoInstanceDataset",
    "CocoPanopticDataset",
    "CocoPanopticSemanticDataset",
    "LoadImage",
    "LoadPanopticAsSemantic",
    "LoadPanopticMap",
    "ScaleJitter",
    "SemanticDataset",
    "SplitPanopticMap",
    "generate_demo_set",
    "make_palette",
]
