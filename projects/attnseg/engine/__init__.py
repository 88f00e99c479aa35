"""Hooks, weight loading, run files, and what a run costs."""

from attnseg.engine.hooks import (
    InvalidLossHook,
    PictureHook,
    ProgressHook,
    RecordHook,
    ResultHook,
)

__all__ = ["InvalidLossHook", "PictureHook", "ProgressHook", "RecordHook", "ResultHook"]
