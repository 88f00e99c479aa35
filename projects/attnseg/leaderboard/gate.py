"""Expected results: a small file in the repository that fails a build when a run falls below.

::

    {"schema": 1, "runs": {"<name>": {
        "split": ..., "annotation hash": ..., "images": ..., "evaluators": [...],
        "metrics": {"panoptic/PQ": {"value": 0.68, "tolerance": 0.02}}}}}
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from attnseg._atomic import write_json
from attnseg.leaderboard.columns import default_keys, lower_is_better, with_prefix
from attnseg.leaderboard.records import Value
from attnseg.leaderboard.runs import (
    Run,
    canonical,
    comparison_key,
    describe_differences,
)

SCHEMA = 1


def read_expected(path: str | Path) -> dict[str, Any]:
    """Read a file of expected results.

    Returns:
        Expectations by run name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or an entry is incomplete; names both.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' does not exist; --write makes it from present records.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not valid JSON: {error}.") from error
    runs = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(runs, dict) or not runs or content.get("schema") != SCHEMA:
        raise ValueError(f"'{path}' needs 'schema' {SCHEMA} and 'runs' with one entry at least.")
    for name, entry in runs.items():
        metrics = entry.get("metrics") if isinstance(entry, dict) else None
        if not isinstance(metrics, dict) or not metrics:
            raise ValueError(f"'{path}': run '{name}' has no 'metrics' to check.")
        for key, wanted in metrics.items():
            parts = wanted if isinstance(wanted, dict) else {}
            numbers = [parts.get(part) for part in ("value", "tolerance")]
            if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
                raise ValueError(
                    f"'{path}': metric '{key}' of run '{name}' needs a 'value' and a 'tolerance', "
                    f"finite numbers; it has {wanted}."
                )
            if parts["tolerance"] < 0:
                raise ValueError(f"'{path}': the tolerance of '{key}' of '{name}' is negative.")
    return runs


def check(runs: Sequence[Run], expected: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Check every run, each seed by itself, against what its name should reach.

    Returns:
        Failures, and what was passed or has no expectation.
    """
    failures, passed = [], []
    for name, entry in expected.items():
        named = [run for run in runs if run.name == name]
        if not named:
            failures.append(f"{name}: no record of this run was found")
        alike = [run for run in named if not _differences(run, entry)]
        for run in named:
            if run.seed not in {other.seed for other in alike}:
                differs = "; ".join(_differences(run, entry))
                failures.append(f"{_label(run)}: measured differently than expected: {differs}")
        for run in alike:
            for key, wanted in entry["metrics"].items():
                text, fine = _judge(run, key, wanted)
                (passed if fine else failures).append(text)
    strangers = sorted({run.name for run in runs} - expected.keys())
    passed += [f"{name}: nothing is expected of this run" for name in strangers]
    return failures, passed


def write_expected(
    path: str | Path, runs: Sequence[Run], metrics: Sequence[str] = (), tolerance: float = 0.01
) -> dict[str, Any]:
    """Write what the present runs reach, the mean of a name's seeds, as expected.

    Args:
        path: Replaced atomically.
        runs: One measurement of each name.
        metrics: Keys; by default the first one of each run.
        tolerance: For each metric, in its unit.

    Raises:
        ValueError: If there is no run, one lacks a value, or one name was measured in several ways.
    """
    if not runs:
        raise ValueError("there is no run with metrics to write expectations from.")
    expected = {}
    for name in sorted({run.name for run in runs}):
        named = [run for run in runs if run.name == name]
        keys = [with_prefix(key, named[0].metrics) for key in metrics]
        keys = keys or default_keys(named[0].record)[:1]
        measured = {canonical(comparison_key(run.record, _prefixes(keys))) for run in named}
        if len(measured) > 1:
            raise ValueError(f"'{name}' was measured in {len(measured)} ways: give one of them.")
        values = {key: [_value(run, key) for run in named] for key in keys}
        undefined = [key for key, found in values.items() if any(map(math.isnan, found))]
        if undefined or not keys:
            raise ValueError(f"'{name}' has no value of {', '.join(undefined) or 'any metric'}.")
        expected[name] = {
            **json.loads(measured.pop()),
            "metrics": {
                key: {"value": fmean(found), "tolerance": tolerance}
                for key, found in values.items()
            },
        }
    write_json(path, {"schema": SCHEMA, "runs": expected})
    return expected


def _value(run: Run, key: str) -> float:
    return run.metrics.get(key, Value(math.nan)).value


def _judge(run: Run, key: str, wanted: Mapping[str, float]) -> tuple[str, bool]:
    name = _label(run)
    if key not in run.metrics:
        known = ", ".join(list(run.metrics)[:8])
        return f"{name}: unknown metric '{key}'; the record has {known}", False
    value = run.metrics[key].value
    lower, tolerance = lower_is_better(key), wanted["tolerance"]
    bound = wanted["value"] + (tolerance if lower else -tolerance)
    # Undefined values compare false, and fail.
    fine = value <= bound if lower else value >= bound
    sign = "<=" if lower else ">="
    shown = "undefined" if math.isnan(value) else f"{value:.6g}"
    needed = f"{wanted['value']:.6g} {'+' if lower else '-'} {tolerance:g} = {bound:.6g}"
    return f"{name}: {key} {shown}, expected {sign} {needed}", fine


def _label(run: Run) -> str:
    return run.name if run.seed is None else f"{run.name}, seed {run.seed}"


def _differences(run: Run, entry: Mapping[str, Any]) -> list[str]:
    wanted = {key: value for key, value in entry.items() if key != "metrics"}
    have = comparison_key(run.record, _prefixes(entry["metrics"]))
    return describe_differences({"evaluators": [], **wanted}, have)


def _prefixes(keys: Sequence[str] | Mapping[str, Any]) -> list[str | None]:
    return [*{key.partition("/")[0] for key in keys}, None, ""]
