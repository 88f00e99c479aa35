"""Which metrics an evaluation computed, with which settings, and how sure their values are."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from mmengine.logging import print_log

from attnseg._atomic import to_plain
from attnseg.engine.config_hash import type_name
from attnseg.file_hash import file_hash

METHOD = "image bootstrap, centred percentile"
SEED = 0
# Writes predictions and computes nothing, so it does not tell one evaluation from another.
_WRITER = "PredictionWriter"
_PATH_KEY = re.compile(r"(^|_)(file|dir|path|root|folder|args|device)s?$|_prefix$")
_T = TypeVar("_T")


def attempt(what: str, function: Callable[..., _T], *args: Any) -> _T | None:
    """The function's result; None with a warning in the log if it fails.

    For what a record tells about a run: the run itself must not fail for it.
    """
    try:
        return function(*args)
    except Exception as error:
        text = f"run record: {what} unknown: {type(error).__name__}: {error}"
        print_log(text, logger="current", level=logging.WARNING)
        return None


def describe_evaluators(metrics: Sequence[Any], config: Any) -> list[dict[str, Any]]:
    """The ``evaluators`` part of a record.

    A metric's ``settings`` are what it says itself, else its config without paths.

    Args:
        metrics: The evaluator's metrics.
        config: Their config: a dict, a list of dicts, or None.
    """
    configs = list(config) if isinstance(config, (list, tuple)) else [config]
    if len(configs) != len(metrics):
        configs = [None] * len(metrics)
    return [
        _describe(metric, own if isinstance(own, Mapping) else {})
        for metric, own in zip(metrics, configs, strict=True)
        if type(metric).__name__ != _WRITER
    ]


def measured(
    values: Mapping[str, Any] | None, metrics: Sequence[Any], resamples: int, level: float
) -> tuple[dict[str, dict[str, float | None]], dict[str, Any] | None]:
    """The ``metrics`` and ``intervals`` parts of a record.

    Values of single classes that a metric keeps for itself come with its intervals.

    Args:
        values: What the evaluation returned.
        metrics: The evaluator's metrics; those with ``intervals`` are resampled.
        resamples: Number of bootstrap resamples; 0 computes no interval.
        level: Coverage in (0, 1).
    """
    rows = {name: _row(value) for name, value in (values or {}).items()}
    found = False
    for metric in metrics if resamples else ():
        if not callable(function := getattr(metric, "intervals", None)):
            continue
        bounds = attempt(f"intervals of {type(metric).__name__}", function, resamples, level, SEED)
        for name, bound in (bounds or {}).items():
            found = True
            rows.setdefault(name, _row(bound.value))
            rows[name].update(low=float(bound.low), high=float(bound.high))
    how = {"level": level, "resamples": resamples, "seed": SEED, "method": METHOD}
    return rows, how if found else None


def tables_of(metrics: Iterable[Any]) -> list[Any]:
    """Per-image statistics of the last evaluation, of the metrics that keep them."""
    tables = (getattr(metric, "table", None) for metric in metrics)
    return [table for table in tables if table is not None]


def predictions_folder(metrics: Sequence[Any]) -> Path | None:
    """Where the predictions of this evaluation were saved, if they were."""
    for metric in metrics:
        folder = getattr(metric, "out_dir", None)
        if type(metric).__name__ == _WRITER and folder is not None:
            return Path(folder)
    return None


def _describe(metric: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    name = type(metric).__name__
    settings = getattr(metric, "settings", None)
    if not isinstance(settings, Mapping):
        settings = _without_paths(config)
    file = config.get("ann_file") or getattr(metric, "ann_file", None)
    return {
        "type": type_name(config) or name,
        "prefix": getattr(metric, "prefix", None) or "",
        "settings": attempt(f"settings of {name}", to_plain, dict(settings)),
        "annotations": attempt(f"annotations of {name}", file_hash, file) if file else None,
    }


def _without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in config.items()
        if key not in ("type", "prefix", "_scope_") and not _PATH_KEY.search(key)
    }


def _row(value: Any) -> dict[str, float | None]:
    # A metric may return 0-d tensors, and foreign ones texts.
    if hasattr(value, "item") and getattr(value, "size", None) is not None:
        value = attempt("a metric's value", value.item)
    number = float(value) if isinstance(value, Real) else None
    return {"value": number, "low": None, "high": None}
