"""Hooks, weight loading, run files, and what a run costs."""

from attnseg.engine.hooks import InvalidLossHook, ProgressHook, RecordHook, ResultHook

__all__ = ["InvalidLossHook", "ProgressHook", "RecordHook", "ResultHook"]
