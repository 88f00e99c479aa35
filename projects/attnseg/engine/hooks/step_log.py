"""One log of a training, however often it was interrupted."""

import json
from pathlib import Path
from typing import IO, Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from attnseg.engine.atomic import to_plain, write_text
from attnseg.registry import HOOKS


@HOOKS.register_module()
class StepLogHook(Hook):
    """Write ``<work_dir>/training.jsonl``: a line for each training step and each validation.

    ``{"mode": "train", "iter": N, "epoch": E, "loss": L, "lr": R}`` stands for the step that made
    the weights of iteration N (from 1), ``{"mode": "val", "iter": N, ...metrics}`` for a validation
    behind it. mmengine begins a new log folder with each start; here a resumed training cuts off
    what comes after its checkpoint and goes on, so that each step stands there once.

    Args:
        interval: Steps from one line to the next.
        file_name: Name of the file in the run folder.

    Raises:
        ValueError: ``interval`` is less than 1.
    """

    def __init__(self, interval: int = 1, file_name: str = "training.jsonl") -> None:
        if interval < 1:
            raise ValueError(f"StepLogHook: expected an interval of at least 1, got {interval}.")
        self.interval, self.file_name = interval, file_name
        self._file: IO[str] | None = None

    def before_train(self, runner: Runner) -> None:
        """Keep what the checkpoint has behind it, and open the file."""
        if runner.rank != 0:
            return
        path = Path(runner.work_dir) / self.file_name
        write_text(path, "".join(_kept_lines(path, runner.iter)))
        # By lines: what a checkpoint has behind it is on the disk before it, and can be watched.
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log a step, with the learning rate that it was made with."""
        step = runner.iter + 1
        if self._file is None or step % self.interval:
            return
        scalars = runner.message_hub.log_scalars
        loss = scalars["train/loss"].current() if "train/loss" in scalars else None
        rates = runner.optim_wrapper.get_lr()
        lr = next((rate for values in rates.values() for rate in values), None)
        self._write(mode="train", iter=step, epoch=runner.epoch, loss=loss, lr=lr)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log a validation."""
        if self._file is not None:
            self._write(mode="val", iter=runner.iter, **(metrics or {}))

    def after_train(self, runner: Runner) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, **values: Any) -> None:
        assert self._file is not None
        self._file.write(json.dumps(to_plain(values)) + "\n")


def _kept_lines(path: Path, steps: int) -> list[str]:
    """The lines of a log that are true of a training with ``steps`` behind it."""
    kept: list[str] = []
    if steps == 0 or not path.is_file():
        return kept
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            entry = json.loads(line)
            # A validation behind the very last step is run again.
            last = steps if entry["mode"] == "train" else steps - 1
            if line.endswith("\n") and entry["iter"] <= last:
                kept.append(line)
        except (ValueError, LookupError, TypeError):
            continue
    return kept
