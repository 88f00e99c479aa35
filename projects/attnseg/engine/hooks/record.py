"""The record of a run: ``record.json`` in the folder of its time."""

import time
from collections.abc import Mapping, Sized
from datetime import datetime, timezone
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner

from attnseg.engine import cost
from attnseg.engine.config_hash import config_hash, resume_hash
from attnseg.engine.evaluators import attempt, tables_of
from attnseg.engine.run_record import (
    META,
    Observed,
    compose,
    left_by_training,
    metrics_of,
    starting_weights,
)
from attnseg.record_files import copy_record, write_record
from attnseg.registry import HOOKS


@HOOKS.register_module()
class RecordHook(Hook):
    """Write ``<work_dir>/<timestamp>/record.json`` at the end of a training or a test.

    It says what was measured, on which data, by which evaluators, with which code, at what cost;
    docs/benchmark.md lists the fields. A training records its last validation. What cannot be
    found out is null, with a warning in the log. A finished record is never overwritten.

    Checkpoints get the hashes of config and starting weights and the training time into their
    ``meta``, so that a test knows them.

    Args:
        resamples: Bootstrap resamples for the intervals of our metrics; 0 for no intervals.
        level: Coverage of the intervals, in (0, 1).
        results_dir: A folder shared by many runs, which gets a copy of each record.

    Raises:
        ValueError: If ``resamples`` or ``level`` is out of range.
        OSError: After the run, if the record cannot be written; names the file.
    """

    # Before LoggerHook, which resets the peak of the GPU's memory.
    priority = "ABOVE_NORMAL"

    def __init__(
        self, resamples: int = 1000, level: float = 0.95, results_dir: str | None = None
    ) -> None:
        if resamples < 0 or not 0 < level < 1:
            raise ValueError(
                "RecordHook: expected resamples of at least 0 and a level between 0 and 1, got "
                f"{resamples} and {level}."
            )
        self.resamples, self.level, self.results_dir = resamples, level, results_dir
        self._meter = cost.ForwardMeter()
        self._seen = Observed()
        self._validated = False
        self._since: float | None = None

    def before_run(self, runner: Runner) -> None:
        """Start a record."""
        self._seen, self._validated, self._since = Observed(), False, None
        self._seen.started = datetime.now(timezone.utc)
        if runner.cfg:
            self._seen.config_hash = attempt("hash of the config", config_hash, runner.cfg)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what a checkpoint says of its training."""
        meta = checkpoint.get("meta")
        self._seen.loaded = dict(meta) if isinstance(meta, Mapping) else {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Let a test of the checkpoint know the training."""
        own = {
            "config_hash": self._seen.config_hash,
            "resume_hash": attempt("hash of the config", resume_hash, runner.cfg),
            "init": self._seen.init,
            "training_seconds": self._training_seconds(),
        }
        checkpoint.setdefault("meta", {})[META] = own

    def before_train(self, runner: Runner) -> None:
        """Start the clock, where a resumed training stopped it."""
        if self._seen.loaded is not None:
            self._know_what_was_loaded(runner)
        self._seen.mode, self._since = "train", time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep one image to count, for trainings without validation."""
        if self._seen.sample is None:
            self._seen.sample = attempt("MACs", cost.first_image, data_batch) or []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the memory."""
        self._look_at_memory()

    def after_train(self, runner: Runner) -> None:
        """Stop the clock."""
        self._pause()

    def before_val(self, runner: Runner) -> None:
        """Stop the clock, and watch the model."""
        self._pause()
        self._watch(runner, runner.val_loop)

    def before_test(self, runner: Runner) -> None:
        """Watch the model."""
        self._seen.mode = "test"
        self._watch(runner, runner.test_loop)

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep one image to count."""
        if not self._validated:
            self._validated, views = True, isinstance(runner.model, BaseTTAModel)
            self._seen.sample = attempt("MACs", cost.first_image, data_batch, views) or []

    before_test_iter = before_val_iter

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count a batch."""
        self._meter.end_batch(len(outputs) if isinstance(outputs, Sized) else 0)
        self._look_at_memory()

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the result."""
        self._meter.stop()
        rate = self._meter.images_per_second()
        self._seen.metrics, self._seen.latency = metrics, self._meter.latency()
        self._seen.images_per_second = rate * runner.world_size if rate else None

    after_test_epoch = after_val_epoch

    def after_val(self, runner: Runner) -> None:
        """Go on with the clock of the training."""
        if self._seen.mode == "train":
            self._since = time.perf_counter()

    def after_run(self, runner: Runner) -> None:
        """Write the record; a run of the validation alone leaves none."""
        if self._seen.mode is None or runner.rank != 0:
            return
        record = compose(runner, self._seen, self.resamples, self.level)
        path = write_record(runner.log_dir, record, tables_of(metrics_of(self._seen.loop)))
        runner.logger.info(f"record of this run: {path}")
        if self.results_dir is not None:
            copy_record(path, self.results_dir)
        self._seen.sample = None

    def _know_what_was_loaded(self, runner: Runner) -> None:
        if getattr(runner, "_resume", False):
            known = left_by_training(self._seen.loaded)
            # Unknown if the first part left no time: its own part alone would be too little.
            self._seen.training_seconds = known["training_seconds"]
            self._seen.init = known["init"]
        elif runner.rank == 0:
            # Now: the training may write over the file.
            self._seen.init = attempt("starting weights", starting_weights, runner)

    def _watch(self, runner: Runner, loop: Any) -> None:
        self._seen.loop = loop
        self._meter.start(cost.unwrapped(runner.model))

    def _pause(self) -> None:
        self._seen.training_seconds, self._since = self._training_seconds(), None

    def _training_seconds(self) -> float | None:
        known = self._seen.training_seconds
        if known is None or self._since is None:
            return known
        return known + time.perf_counter() - self._since

    def _look_at_memory(self) -> None:
        # Resident pages have a peak that the system keeps.
        if torch.cuda.is_initialized():
            peak = cost.peak_memory_mib("cuda")
            self._seen.peak_gpu_mib = max(self._seen.peak_gpu_mib, peak)
