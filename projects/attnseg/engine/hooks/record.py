"""The record of a run: ``record.json`` in the folder of its time."""

import os
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner

import attnseg
from attnseg.engine import cost
from attnseg.engine.config_hash import config_hash
from attnseg.engine.data_hash import describe_data, file_hash
from attnseg.engine.evaluators import (
    attempt,
    describe_evaluators,
    measured,
    predictions_folder,
    tables_of,
)
from attnseg.engine.provenance import command, git_state, hardware, versions
from attnseg.engine.record_file import copy_record, write_record
from attnseg.registry import HOOKS

SCHEMA = 1
_META = "attnseg"


@HOOKS.register_module()
class RecordHook(Hook):
    """Write ``<work_dir>/<timestamp>/record.json`` at the end of a training or a test.

    It says what was measured, on which data, by which evaluators, with which code, at what cost;
    docs/benchmark.md lists the fields. A training records its last validation. What cannot be
    found out is null, with a warning in the log. A finished record is never overwritten.

    Checkpoints get the config's hash and the training time into their ``meta``, so that a test
    knows them.

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
        self.meter = cost.ForwardMeter()
        self._reset()

    def _reset(self) -> None:
        self._mode: str | None = None
        self._loop: Any = None
        self._metrics: Mapping[str, Any] | None = None
        self._sample: list[Any] | None = None
        self._train_sample: list[Any] | None = None
        self._peak = 0.0
        self._loaded: Mapping[str, Any] | None = None
        self._hash: str | None = None
        self._seconds: float | None = 0.0
        self._since: float | None = None

    def before_run(self, runner: Runner) -> None:
        """Start a record."""
        self._reset()
        self._started = datetime.now(timezone.utc)
        if runner.cfg:
            self._hash = attempt("hash of the config", config_hash, runner.cfg)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what a checkpoint says of its training."""
        meta = checkpoint.get("meta")
        self._loaded = dict(meta) if isinstance(meta, Mapping) else {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Let a test of the checkpoint know the training."""
        own = {"config_hash": self._hash, "training_seconds": self._training_seconds()}
        checkpoint.setdefault("meta", {})[_META] = own

    def before_train(self, runner: Runner) -> None:
        """Start the clock, where a resumed training stopped it."""
        self._mode, self._since = "train", time.perf_counter()
        if getattr(runner, "_resume", False) and self._loaded is not None:
            # Unknown if the first part left no time: its own part alone would be too little.
            self._seconds = _own(self._loaded).get("training_seconds")

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep one image to count, for trainings without validation."""
        if self._train_sample is None and runner.val_loop is None:
            self._train_sample = attempt("MACs", cost.first_image, data_batch) or []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the memory."""
        self._look_at_memory(runner)

    def after_train(self, runner: Runner) -> None:
        """Stop the clock."""
        self._pause()

    def before_val(self, runner: Runner) -> None:
        """Stop the clock, and watch the model."""
        self._pause()
        self._watch(runner, runner.val_loop)

    def before_test(self, runner: Runner) -> None:
        """Watch the model."""
        self._mode = "test"
        self._watch(runner, runner.test_loop)

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep one image to count."""
        if self._sample is None:
            views = isinstance(runner.model, BaseTTAModel)
            self._sample = attempt("MACs", cost.first_image, data_batch, views) or []

    before_test_iter = before_val_iter

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count a batch."""
        self.meter.end_batch(len(outputs) if outputs is not None else 0)
        self._look_at_memory(runner)

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the result."""
        self.meter.stop()
        self._metrics = metrics

    after_test_epoch = after_val_epoch

    def after_val(self, runner: Runner) -> None:
        """Go on with the clock of the training."""
        if self._mode == "train":
            self._since = time.perf_counter()

    def after_run(self, runner: Runner) -> None:
        """Write the record; a run of the validation alone leaves none."""
        if self._mode is None or runner.rank != 0:
            return
        metrics = self._loop.evaluator.metrics if self._loop is not None else []
        path = write_record(runner.log_dir, self._record(runner, metrics), tables_of(metrics))
        runner.logger.info(f"record of this run: {path}")
        if self.results_dir is not None:
            copy_record(path, self.results_dir)
        self._sample = self._train_sample = None

    def _watch(self, runner: Runner, loop: Any) -> None:
        self._loop = loop
        self.meter.start(cost.unwrapped(runner.model))

    def _pause(self) -> None:
        self._seconds, self._since = self._training_seconds(), None

    def _training_seconds(self) -> float | None:
        if self._seconds is None or self._since is None:
            return self._seconds
        return self._seconds + time.perf_counter() - self._since

    def _look_at_memory(self, runner: Runner) -> None:
        # Resident pages have a peak that the system keeps.
        if torch.cuda.is_initialized():
            self._peak = max(self._peak, cost.peak_memory_mib("cuda"))

    def _record(self, runner: Runner, metrics: list[Any]) -> dict[str, Any]:
        cfg, file = runner.cfg, runner.cfg.filename
        training = self._mode == "train"
        meta = {} if training else self._loaded or {}
        evaluator = cfg.get("val_evaluator" if training else "test_evaluator")
        values, how = measured(self._metrics, metrics, self.resamples, self.level)
        finished = datetime.now(timezone.utc)
        return {
            "schema": SCHEMA,
            "id": f"{runner.timestamp}-{self._mode}-{secrets.token_hex(4)}",
            "mode": self._mode,
            "started": self._started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "name": Path(file).stem if file else runner.experiment_name,
            "work_dir": os.path.abspath(runner.work_dir),
            "config": {"file": file, "hash": self._hash},
            "checkpoint": self._checkpoint(runner),
            "git": attempt("git revision", git_state, file, attnseg.__file__),
            "data": attempt("data set", describe_data, self._loop.dataloader.dataset)
            if self._loop is not None
            else None,
            "evaluators": attempt("evaluators", describe_evaluators, metrics, evaluator),
            "metrics": values,
            "intervals": how,
            # Of the training that made the weights, where they say it.
            "seed": meta.get("seed", runner.seed),
            "world_size": runner.world_size,
            "tta": isinstance(runner.model, BaseTTAModel),
            "iter": runner.iter if training else meta.get("iter"),
            "epoch": runner.epoch if training else meta.get("epoch"),
            "versions": attempt("versions", versions),
            "hardware": attempt("hardware", hardware),
            "cost": self._cost(runner),
            "command": attempt("command", command),
            "predictions": attempt("predictions", _predictions, metrics, runner.log_dir),
        }

    def _cost(self, runner: Runner) -> dict[str, Any]:
        model = cost.unwrapped(runner.model)
        sample = self._sample or self._train_sample
        counted = attempt("MACs", cost.count_image, model, sample) if sample else None
        latency = self.meter.latency() if self._loop is not None else None
        rate = self.meter.images_per_second() if self._loop is not None else None
        device = next((p.device.type for p in model.parameters()), "cpu")
        training = self._mode == "train"
        seconds = self._training_seconds() if training else _own(self._loaded)["training_seconds"]
        return {
            "params": sum(p.numel() for p in model.parameters()),
            "macs": counted.macs if counted else None,
            "input": counted.input if counted else None,
            "batch_size": getattr(getattr(self._loop, "dataloader", None), "batch_size", None),
            "latency_ms_p50": latency.p50 if latency else None,
            "latency_ms_p95": latency.p95 if latency else None,
            "images_per_second": rate * runner.world_size if rate else None,
            "peak_memory_mib": self._peak
            if device == "cuda"
            else attempt("peak memory", cost.peak_memory_mib, device),
            "device": device,
            "training_seconds": seconds,
        }

    def _checkpoint(self, runner: Runner) -> dict[str, Any] | None:
        """What was tested, or what the training left."""
        if self._mode == "train":
            file, trained = runner.message_hub.get_info("last_ckpt"), self._hash
        else:
            loaded = self._loaded is not None
            file = (
                (getattr(runner, "_load_from", None) or runner.cfg.get("load_from"))
                if loaded
                else None
            )
            trained = _own(self._loaded)["config_hash"]
        if not file:
            return None
        known = attempt("hash of the checkpoint", file_hash, file)
        return {"file": str(file), "sha256": known, "config_hash": trained}


def _own(meta: Mapping[str, Any] | None) -> dict[str, Any]:
    """What this hook left in the meta of a checkpoint."""
    own = (meta or {}).get(_META)
    found = own if isinstance(own, Mapping) else {}
    return {key: found.get(key) for key in ("config_hash", "training_seconds")}


def _predictions(metrics: list[Any], folder: str) -> str | None:
    saved = predictions_folder(metrics)
    if saved is None:
        return None
    saved, root = saved.resolve(), Path(folder).resolve().parent
    return os.path.relpath(saved, folder) if saved.is_relative_to(root) else str(saved)
