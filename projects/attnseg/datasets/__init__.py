"""Data sets, loaders and transforms, and the generated demo set."""

from .checks import make_palette
from .coco import CocoInstanceDataset, CocoPanopticDataset
from .demo import generate_demo_set
from .object_masks import ObjectMaskDataset
from .semantic import CocoPanopticSemanticDataset, SemanticDataset
from .transforms import (
    CheckSample,
    CoarseMask,
    CropToStroke,
    FlipObject,
    LoadImage,
    LoadObjectMask,
    LoadPanopticAsSemantic,
    LoadPanopticMap,
    PackRefinement,
    ScaleJitter,
    SplitPanopticMap,
)

__all__ = [
    "CheckSample",
    "CoarseMask",
    "CocoInstanceDataset",
    "CocoPanopticDataset",
    "CocoPanopticSemanticDataset",
    "CropToStroke",
    "FlipObject",
    "LoadImage",
    "LoadObjectMask",
    "LoadPanopticAsSemantic",
    "LoadPanopticMap",
    "ObjectMaskDataset",
    "PackRefinement",
    "ScaleJitter",
    "SemanticDataset",
    "SplitPanopticMap",
    "generate_demo_set",
    "make_palette",
]
