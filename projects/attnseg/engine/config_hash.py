"""The identity of an experiment: a hash over what its config makes the run do."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# All else at the top of a config is a knob that went into one of these, or the run's
# surroundings: seed, folders, launcher, logs. Evaluators look at an experiment; the record has
# them for itself.
_SECTIONS = (
    *("model", "data_preprocessor", *_LOADERS),
    *("train_cfg", "val_cfg", "test_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr"),
    *("custom_hooks", "default_hooks", "default_scope", "runner_type", "sync_bn"),
)
_FIXED = ("model", "data_preprocessor", "train_dataloader", "optim_wrapper", "sync_bn")
# How fast a loader is, and how often a training looks at itself, changes no experiment.
_LOADER_SPEED = {"num_workers", "persistent_workers", "pin_memory", "prefetch_factor"}
_INTERVALS = {"val_interval", "val_begin"}
_WATCHERS = {
    *("LoggerHook", "CheckpointHook", "IterTimerHook", "DetVisualizationHook"),
    *("SegVisualizationHook", "NumClassCheckHook", "CheckInvalidLossHook", "InvalidLossHook"),
    *("ResultHook", "RecordHook", "ProgressHook", "PictureHook", "StepLogHook"),
    *("ExactResumeHook", "PreemptionHook", "ExecutionHook"),
}


def config_hash(cfg: Mapping[str, Any]) -> str:
    """SHA-256 of the parts of a resolved config that define the experiment.

    Left out: seed, run folder, launcher, weights to start or resume from, logs, drawing, number
    of workers, validation interval, evaluators, and where the data lie: paths count below their
    data folder, other absolute ones by their last part, other relative ones as they are written.
    The same in each process and Python version.

    Args:
        cfg: A resolved ``mmengine.Config``.
    """
    text = json.dumps(plain_config(cfg), sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def resume_hash(cfg: Mapping[str, Any]) -> str:
    """SHA-256 of what has to be the same to go on from a checkpoint: model, data and optimizer.

    Of :func:`config_hash` it leaves out length, schedule, hooks and how evaluations are run.

    Args:
        cfg: A resolved ``mmengine.Config``.
    """
    plain = plain_config(cfg)
    kept = {name: plain.get(name) for name in _FIXED}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


def plain_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`config_hash` hashes, as plain values."""
    cfg = dict(cfg.items())  # mmengine's Config is no Mapping
    roots = sorted({root.rstrip("/") for root in data_folders(cfg)} - {""}, key=len, reverse=True)
    sections = {}
    for name in _SECTIONS:
        value = cfg.get(name)
        if value is None:
            continue
        if name in ("custom_hooks", "default_hooks"):
            value = _acting(value)
        elif name in _LOADERS and isinstance(value, Mapping):
            # How many images an evaluation looks at at once is speed too.
            speed = _LOADER_SPEED | ({"batch_size"} if name != "train_dataloader" else set())
            value = {key: item for key, item in value.items() if key not in speed}
        elif name == "train_cfg" and isinstance(value, Mapping):
            value = {key: item for key, item in value.items() if key not in _INTERVALS}
        sections[name] = _plain(value, roots)
    return sections


def data_folders(value: Any) -> Iterator[str]:
    """Each ``data_root`` of a config, at its top and in its data sets."""
    if isinstance(value, Mapping):
        root = value.get("data_root")
        if isinstance(root, (str, os.PathLike)) and str(root):
            yield str(root)
        for name in (*_LOADERS, "dataset", "datasets"):
            yield from data_folders(value.get(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from data_folders(item)


def type_name(config: Any) -> str:
    """Class name that a config names, without its scope; '' if it names none."""
    kind = config.get("type", "") if isinstance(config, Mapping) else ""
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", "")).rpartition(".")[2]


def _acting(hooks: Any) -> Any:
    if isinstance(hooks, Mapping):
        return {name: hook for name, hook in hooks.items() if type_name(hook) not in _WATCHERS}
    return [hook for hook in hooks if type_name(hook) not in _WATCHERS]


def _plain(value: Any, roots: Iterable[str]) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v, roots) for k, v in value.items() if k != "data_root"}
    if isinstance(value, (list, tuple)):
        return [_plain(item, roots) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, roots) for item in value), key=repr)
    if isinstance(value, (str, os.PathLike)):
        return _without_folder(os.fspath(value), roots)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if hasattr(value, "tolist"):  # numpy and torch
        return _plain(value.tolist(), roots)
    # Classes and functions by name; of other objects the class: a repr may hold an address.
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _without_folder(text: str, roots: Iterable[str]) -> str:
    for root in roots:
        if text.rstrip("/") == root:
            return ""
        if text.startswith(root + "/"):
            return text[len(root) + 1 :].rstrip("/")
    return PurePath(text).name if os.path.isabs(text) else text
