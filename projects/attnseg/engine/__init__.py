"""Hooks, weight loading, run files, and what a run costs."""

from attnseg.engine.hooks import (
    InvalidLossHook,
    PictureHook,
    ProgressHook,
    RecordHook,
    ResultHook,
)
from attnseg.engine.precision import AutocastOptimWrapper
from attnseg.engine.sharding import ShardedModel

__all__ = [
    "AutocastOptimWrapper",
    "InvalidLossHook",
    "PictureHook",
    "ProgressHook",
    "RecordHook",
    "ResultHook",
    "ShardedModel",
]
