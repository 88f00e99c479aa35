"""Hooks of mmengine's Runner, registered as ``attnseg.X``."""

from attnseg.engine.hooks.channels import ChannelsHook
from attnseg.engine.hooks.invalid_loss import InvalidLossHook
from attnseg.engine.hooks.picture import PictureHook
from attnseg.engine.hooks.progress import ProgressHook
from attnseg.engine.hooks.record import RecordHook
from attnseg.engine.hooks.result import ResultHook
from attnseg.engine.hooks.schedule import ScheduleHook
from attnseg.engine.hooks.size import SizeHook

__all__ = [
    "ChannelsHook",
    "InvalidLossHook",
    "PictureHook",
    "ProgressHook",
    "RecordHook",
    "ResultHook",
    "ScheduleHook",
    "SizeHook",
]
