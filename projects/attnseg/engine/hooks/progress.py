"""A progress bar over the iterations of a training or a test."""

import sys
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from attnseg.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show a bar with the time left and the losses; for short runs that a person watches.

    Where the output is no terminal, a line comes at most every ``interval`` seconds. Only the
    first process prints.

    Args:
        interval: seconds between two lines where there is no terminal.
    """

    priority = "LOWEST"

    def __init__(self, interval: float = 20.0) -> None:
        self.interval = interval
        self._bar: tqdm | None = None

    def _open(self, runner: Runner, title: str, total: int) -> None:
        self._close()
        seconds = 0.1 if sys.stderr.isatty() else self.interval
        self._bar = tqdm(
            total=total,
            desc=title,
            mininterval=seconds,
            maxinterval=seconds,
            disable=runner.rank != 0,
            dynamic_ncols=True,
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def before_train(self, runner: Runner) -> None:
        """Open the bar, at the iteration where a resumed training goes on."""
        self._open(runner, "train", runner.max_iters)
        self._bar.update(runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Move on and show the losses."""
        if self._bar is None:
            return
        losses = {
            k: f"{float(v.detach().mean()):.3f}" for k, v in (outputs or {}).items() if "loss" in k
        }
        self._bar.set_postfix(losses, refresh=False)
        self._bar.update()

    def after_train(self, runner: Runner) -> None:
        """Close the bar."""
        self._close()

    def before_test_epoch(self, runner: Runner) -> None:
        """Open the bar of a test."""
        self._open(runner, "test", len(runner.test_dataloader))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Move on."""
        if self._bar is not None:
            self._bar.update()

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Close the bar."""
        self._close()
