"""Hooks of mmengine's Runner, registered as ``attnseg.X``."""

from attnseg.engine.hooks.channels import ChannelsHook
from attnseg.engine.hooks.exact_resume import ExactResumeHook
from attnseg.engine.hooks.execution import ExecutionHook
from attnseg.engine.hooks.invalid_loss import InvalidLossHook
from attnseg.engine.hooks.picture import PictureHook
from attnseg.engine.hooks.preemption import PreemptionHook
from attnseg.engine.hooks.progress import ProgressHook
from attnseg.engine.hooks.record import RecordHook
from attnseg.engine.hooks.result import ResultHook
from attnseg.engine.hooks.scaled_rate import ScaledRateHook
from attnseg.engine.hooks.schedule import ScheduleHook
from attnseg.engine.hooks.size import SizeHook
from attnseg.engine.hooks.step_log import StepLogHook

__all__ = [
    "ChannelsHook",
    "ExactResumeHook",
    "ExecutionHook",
    "InvalidLossHook",
    "PictureHook",
    "PreemptionHook",
    "ProgressHook",
    "RecordHook",
    "ResultHook",
    "ScaledRateHook",
    "ScheduleHook",
    "StepLogHook",
    "SizeHook",
]
