"""A training that is told to stop saves first."""

from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, barrier, broadcast_object_list, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from attnseg.engine.atomic import write_text
from attnseg.engine.checkpoint_files import PREEMPTED, remove_unfinished
from attnseg.engine.signals import (
    EXIT_STATUS,
    Preempted,
    answered,
    listen,
    received,
    shield_workers,
    stop_listening,
)
from attnseg.registry import HOOKS


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGUSR1 or SIGTERM to any process, finish the step, save ``preempted.pth``, and end.

    All processes agree by a sum over one number after each step, so that they stop behind the
    same one. A validation is broken off; it is run when the training is resumed. While gradients
    are accumulated, the step to stop at is the next that changes the weights. The process ends
    with status 75; ``--resume`` goes on from the file, which is removed when a later checkpoint is
    there.

    Raises:
        Preempted: From the step behind which all have saved.
    """

    # Behind CheckpointHook, which may have saved this very step.
    priority = "LOWEST"

    def __init__(self) -> None:
        self._training = False
        self._val_steps = 0
        self._left: Path | None = None

    def before_run(self, runner: Runner) -> None:
        """Keep the signals from data workers."""
        for loop in (runner._train_loop, runner._val_loop):
            if isinstance(loop, BaseLoop):
                shield_workers(loop.dataloader)

    def before_train(self, runner: Runner) -> None:
        """Listen, and clear away what a killed process left half written."""
        listen()
        self._training = True
        folder = Path(runner.work_dir)
        self._left = folder / PREEMPTED if (folder / PREEMPTED).is_file() else None
        if runner.rank == 0:
            for path in remove_unfinished(folder):
                runner.logger.warning(f"removed {path}: half a checkpoint of a killed process")
        _warn_of_accumulation(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop here if a process was told to."""
        self._clear(runner)
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop) and batch_idx + 1 == len(loop.dataloader):
            # after_train_epoch belongs to this step: learning rates and checkpoints of the epoch.
            return
        if _changes_weights(runner) and _told_to_stop():
            self._stop(runner, runner.epoch, runner.iter + 1, f"iter_{runner.iter + 1}.pth")

    def after_train_epoch(self, runner: Runner) -> None:
        """The same, where the step was the last of an epoch."""
        self._clear(runner)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if by_epoch and _changes_weights(runner) and _told_to_stop():
            self._stop(runner, runner.epoch + 1, runner.iter, f"epoch_{runner.epoch + 1}.pth")

    def before_val_epoch(self, runner: Runner) -> None:
        """Find out how many batches all processes have."""
        steps = torch.tensor(len(runner.val_loop.dataloader), device=get_device())
        all_reduce(steps, op="min")
        self._val_steps = int(steps)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Break off the validation of a training."""
        # A validation alone has no training to save; amid accumulation gradients would be lost.
        stoppable = self._training and _changes_weights(runner)
        if stoppable and batch_idx < self._val_steps and _told_to_stop():
            by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
            same = f"epoch_{runner.epoch}.pth" if by_epoch else f"iter_{runner.iter}.pth"
            self._stop(runner, runner.epoch, runner.iter, same)

    def after_train(self, runner: Runner) -> None:
        """Nothing is left to stop."""
        self._clear(runner)
        self._training = False

    def after_run(self, runner: Runner) -> None:
        """Let signals mean again what they always do, once the record is written."""
        stop_listening()

    def _stop(self, runner: Runner, epoch: int, iteration: int, same: str) -> None:
        """Save, unless CheckpointHook has just done so under the name ``same``, and end."""
        name = received() or "a signal to another process"
        last = runner.message_hub.runtime_info.get("last_ckpt")
        # The first process decides: not all may see the same files at once.
        there = [last is not None and Path(last).name == same and Path(last).is_file()]
        broadcast_object_list(there)
        if not there[0]:
            last = str(Path(runner.work_dir) / PREEMPTED)
            runner.save_checkpoint(
                runner.work_dir, PREEMPTED, meta={"epoch": epoch, "iter": iteration}
            )
            if runner.rank == 0:
                write_text(Path(runner.work_dir) / "last_checkpoint", last)
        runner.logger.warning(
            f"{name}: stopped behind step {iteration}, saved {last}. Exit status {EXIT_STATUS}; "
            "the same command with --resume goes on."
        )
        # Who ends first has the launcher kill the one that still writes.
        barrier()
        answered()
        raise Preempted

    def _clear(self, runner: Runner) -> None:
        """Remove the checkpoint of an earlier stop once CheckpointHook has saved a later one."""
        if self._left is None or runner.rank != 0:
            return
        last = runner.message_hub.runtime_info.get("last_ckpt")
        if last and Path(last).is_file() and _newer(Path(last), self._left):
            self._left.unlink(missing_ok=True)
            self._left = None


def _newer(path: Path, than: Path) -> bool:
    return not than.is_file() or path.stat().st_mtime_ns > than.stat().st_mtime_ns


def _told_to_stop() -> bool:
    if get_world_size() == 1:
        return received() is not None
    told = torch.tensor(int(received() is not None), device=get_device())
    all_reduce(told, op="sum")
    return bool(told)


def _changes_weights(runner: Runner) -> bool:
    wrapper = runner.optim_wrapper
    return not isinstance(wrapper, OptimWrapper) or wrapper.should_update()


def _warn_of_accumulation(runner: Runner) -> None:
    count = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.interval > 0:
            loader = runner.train_loop.dataloader
            steps = hook.interval * (len(loader) if hook.by_epoch else 1)
            if steps % count:
                runner.logger.warning(
                    f"checkpoints come every {steps} steps, the weights change every {count}: a "
                    "training that is resumed from one loses the gradients in between. Choose an "
                    f"interval in steps that {count} divides."
                )
