"""Hooks, weight loading and run files."""

from attnseg.engine.hooks import InvalidLossHook, ProgressHook, ResultHook

__all__ = ["InvalidLossHook", "ProgressHook", "ResultHook"]
