"""The content of ``record.json``, from a runner at the end of its run."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmengine.model import BaseTTAModel
from mmengine.runner import Runner

import attnseg
from attnseg.engine import cost
from attnseg.engine.complexity import Latency
from attnseg.engine.data_hash import describe_data
from attnseg.engine.evaluators import attempt, describe_evaluators, measured, predictions_folder
from attnseg.engine.provenance import command, git_state, hardware, versions
from attnseg.file_hash import file_hash

SCHEMA = 1
META = "attnseg"
"""Key in a checkpoint's ``meta`` under which a training leaves what a test should know."""


@dataclass
class Observed:
    """What was seen of a run while it went on.

    Attributes:
        mode: ``train`` or ``test``; None before the loop began.
        started: Time of the start, UTC.
        config_hash: Of the run's config.
        loop: The validation or test loop that was run last.
        metrics: What it returned.
        sample: One image of it, from :func:`attnseg.engine.cost.first_image`; one of the training
            where there is no validation.
        latency: Of its forward passes.
        images_per_second: Of all processes.
        peak_gpu_mib: Highest memory allocated on the GPU.
        loaded: ``meta`` of the checkpoint that was loaded; None if none was.
        init: SHA-256 of the weights that this training started from, which may be an address
            instead; None if it drew them. A resumed training has that of its first part.
        training_seconds: Wall time in the training loop, without validation.
    """

    mode: str | None = None
    started: datetime | None = None
    config_hash: str | None = None
    loop: Any = None
    metrics: Mapping[str, Any] | None = None
    sample: list[Any] | None = None
    latency: Latency | None = None
    images_per_second: float | None = None
    peak_gpu_mib: float = 0.0
    loaded: Mapping[str, Any] | None = None
    init: str | None = None
    training_seconds: float | None = 0.0


def metrics_of(loop: Any) -> list[Any]:
    """The metrics of a loop's evaluator; none for no loop, and for loops of another kind."""
    return list(getattr(getattr(loop, "evaluator", None), "metrics", None) or [])


def training_progress(runner: Runner) -> tuple[int, int]:
    """Epoch and iteration of the training; zeros where none was begun.

    The runner's own properties would build the loop of the training, and so open its data set:
    a machine that tests need not have those files.
    """
    loop = getattr(runner, "_train_loop", None)
    if loop is None or isinstance(loop, Mapping):
        return 0, 0
    return runner.epoch, runner.iter


def compose(runner: Runner, seen: Observed, resamples: int, level: float) -> dict[str, Any]:
    """Everything but ``per_image``, which the file's writer knows.

    What cannot be found out is None; the log says why.

    Args:
        runner: On the main process, behind its loop.
        seen: What the hook saw.
        resamples: For the intervals; 0 for none.
        level: Their coverage, in (0, 1).
    """
    cfg, file, training = runner.cfg, runner.cfg.filename, seen.mode == "train"
    metrics, meta = metrics_of(seen.loop), seen.loaded or {}
    # What belongs to the weights is that of the training that made them, where they say it.
    made_here = training or seen.loaded is None
    evaluator = cfg.get("val_evaluator" if training else "test_evaluator")
    values, how = measured(seen.metrics, metrics, resamples, level)
    return {
        "schema": SCHEMA,
        "id": f"{runner.timestamp}-{seen.mode}-{secrets.token_hex(4)}",
        "mode": seen.mode,
        "started": _text(seen.started),
        "finished": _text(datetime.now(timezone.utc)),
        "name": Path(file).stem if file else runner.experiment_name,
        "work_dir": os.path.abspath(runner.work_dir),
        "config": {
            "file": file,
            "hash": seen.config_hash,
            "init": seen.init if training else left_by_training(meta)["init"],
        },
        "checkpoint": _checkpoint(runner, seen),
        "git": attempt("git revision", git_state, file, attnseg.__file__),
        "data": attempt("data set", _data, seen.loop, metrics),
        "evaluators": attempt("evaluators", describe_evaluators, metrics, evaluator),
        "metrics": values,
        "intervals": how,
        "seed": runner.seed if made_here else meta.get("seed"),
        "world_size": runner.world_size,
        "tta": isinstance(runner.model, BaseTTAModel),
        "iter": runner.iter if training else meta.get("iter"),
        "epoch": runner.epoch if training else meta.get("epoch"),
        "versions": attempt("versions", versions),
        "hardware": attempt("hardware", hardware),
        "cost": _cost(runner, seen),
        "command": attempt("command", command),
        "predictions": attempt("predictions", _predictions, metrics, runner.log_dir),
    }


def left_by_training(meta: Mapping[str, Any] | None) -> dict[str, Any]:
    """``config_hash``, ``init``, ``training_seconds`` in the ``meta`` of a checkpoint, or None."""
    own = (meta or {}).get(META)
    found = own if isinstance(own, Mapping) else {}
    return {key: found.get(key) for key in ("config_hash", "init", "training_seconds")}


def starting_weights(runner: Runner) -> str | None:
    """SHA-256 of the file that the runner loaded; the address of what was fetched from elsewhere.

    Raises:
        OSError: The file cannot be read.
    """
    file = _loaded_file(runner)
    return file if not file or "://" in file else file_hash(file)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _data(loop: Any, metrics: list[Any]) -> dict[str, Any] | None:
    if loop is None:
        return None
    found = describe_data(loop.dataloader.dataset)
    tables = [table for metric in metrics if (table := getattr(metric, "table", None))]
    images = {image for table in tables for image in table.images}
    if images:
        # A data set of single objects has fewer images than samples.
        found["images"] = min(found["images"], len(images))
    return found


def _cost(runner: Runner, seen: Observed) -> dict[str, Any]:
    model = cost.unwrapped(runner.model)
    whole = attempt("size and MACs of the model", cost.require_whole, runner.model)
    counted = None
    if whole and seen.sample:
        counted = attempt("MACs", cost.count_image, model, seen.sample)
    device = next((parameter.device.type for parameter in model.parameters()), "cpu")
    seconds = seen.training_seconds
    if seen.mode != "train":
        seconds = left_by_training(seen.loaded)["training_seconds"]
    return {
        "params": sum(parameter.numel() for parameter in model.parameters()) if whole else None,
        "macs": counted.macs if counted else None,
        "input": counted.input if counted else None,
        "batch_size": getattr(getattr(seen.loop, "dataloader", None), "batch_size", None),
        "latency_ms_p50": seen.latency.p50 if seen.latency else None,
        "latency_ms_p95": seen.latency.p95 if seen.latency else None,
        "images_per_second": seen.images_per_second,
        "peak_memory_mib": seen.peak_gpu_mib
        if device == "cuda"
        else attempt("peak memory", cost.peak_memory_mib, device),
        "device": device,
        "training_seconds": seconds,
    }


def _checkpoint(runner: Runner, seen: Observed) -> dict[str, Any] | None:
    """What was tested, or what the training left; and the config that trained it."""
    if seen.mode == "train":
        file, trained = runner.message_hub.get_info("last_ckpt"), seen.config_hash
    elif seen.loaded is not None:
        file = _loaded_file(runner)
        trained = left_by_training(seen.loaded)["config_hash"]
    else:
        file = trained = None
    if not file:
        return None
    known = attempt("hash of the checkpoint", file_hash, file)
    return {"file": str(file), "sha256": known, "config_hash": trained}


def _loaded_file(runner: Runner) -> str | None:
    file = getattr(runner, "_load_from", None) or runner.cfg.get("load_from")
    return os.path.expanduser(str(file)) if file else None


def _predictions(metrics: list[Any], folder: str) -> str | None:
    saved = predictions_folder(metrics)
    if saved is None:
        return None
    saved, root = saved.resolve(), Path(folder).resolve().parent
    return os.path.relpath(saved, folder) if saved.is_relative_to(root) else str(saved)
