"""Hooks of mmengine's Runner, registered as ``attnseg.X``."""

from attnseg.engine.hooks.invalid_loss import InvalidLossHook
from attnseg.engine.hooks.picture import PictureHook
from attnseg.engine.hooks.progress import ProgressHook
from attnseg.engine.hooks.record import RecordHook
from attnseg.engine.hooks.result import ResultHook

__all__ = ["InvalidLossHook", "PictureHook", "ProgressHook", "RecordHook", "ResultHook"]
