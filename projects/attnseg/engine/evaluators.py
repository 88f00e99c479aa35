"""Which metrics an evaluation computed, with which settings, and how sure their values are."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from mmengine.logging import print_log

from attnseg._atomic import to_plain
from attnseg.engine.config_hash import type_name
from attnseg.file_hash import file_hash, files_hash
from attnseg.per_image import PerImageTable

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


def metric_configs(evaluator: Any) -> list[Any]:
    """What an evaluator's config has for its metrics, one after the other.

    Args:
        evaluator: As a Runner takes it: a metric, several, or a dict that has them as ``metrics``.
    """
    if isinstance(evaluator, Mapping) and "metrics" in evaluator:
        evaluator = evaluator["metrics"]
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]


def describe_evaluators(metrics: Sequence[Any], config: Any) -> list[dict[str, Any]]:
    """The ``evaluators`` part of a record.

    A metric's ``settings`` are what it says itself, else its config without paths.

    Args:
        metrics: The evaluator's metrics.
        config: Their config, in any form that a Runner takes; or None.
    """
    configs = metric_configs(config)
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
        if not callable(getattr(metric, "intervals", None)):
            continue
        what = f"intervals of {type(metric).__name__}"
        bounds = attempt(what, _bounds, metric, resamples, level)
        for name, (row, low, high) in (bounds or {}).items():
            found = True
            rows.setdefault(name, row).update(low=low, high=high)
    how = {"level": level, "resamples": resamples, "seed": SEED, "method": METHOD}
    return rows, how if found else None


def tables_of(metrics: Iterable[Any]) -> list[PerImageTable]:
    """Per-image statistics of the last evaluation, of the metrics that keep them."""
    tables = (getattr(metric, "table", None) for metric in metrics)
    # A foreign metric may call something else by this name.
    return [table for table in tables if isinstance(table, PerImageTable)]


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
    (file, config.get("seg_prefix"))
    return {
        "type": type_name(config) or name,
        "prefix": getattr(metric, "prefix", None) or "",
        "settings": attempt(f"settings of {name}", to_plain, dict(settings)),
        "annotations": attempt(
            f"annotations of {name}", _truth_hash, file, config.get("seg_prefix")
        )
        if file
        else None,
    }


def _truth_hash(file: str, maps: str | None) -> str:
    """Hash of an annotation file, and of the PNG files beside it where the truth lies in them."""
    own = file_hash(file)
    if maps is None:
        return own
    return hashlib.sha256(f"{own}{files_hash(Path(maps).glob('*.png'))}".encode()).hexdigest()


def _bounds(
    metric: Any, resamples: int, level: float
) -> dict[str, tuple[dict[str, float | None], float, float]]:
    """Row, low and high by key; fails for what is not of the form of our metrics' intervals."""
    return {
        str(name): (_row(bound.value), float(bound.low), float(bound.high))
        for name, bound in metric.intervals(resamples, level, SEED).items()
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
