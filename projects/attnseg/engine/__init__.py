"""Hooks, weight loading and run files."""

from attnseg.engine.hooks import InvalidLossHook, ResultHook

__all__ = ["InvalidLossHook", "ResultHook"]
