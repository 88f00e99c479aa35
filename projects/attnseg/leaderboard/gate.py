"""Expected results: a small file in the repository that fails a build when a run falls below.

::

    {"schema": 1, "runs": {"<name>": {
        "seeds": [0, 1, 2],
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
from attnseg.leaderboard.columns import default_keys, make_column, with_prefix
from attnseg.leaderboard.records import Value
from attnseg.leaderboard.runs import (
    Run,
    canonical,
    comparison_key,
    describe_differences,
    prefixes_of,
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
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is not valid JSON: {error}.") from error
    runs = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(runs, dict) or not runs or content.get("schema") != SCHEMA:
        raise ValueError(f"'{path}' needs 'schema' {SCHEMA} and 'runs' with one entry at least.")
    for name, entry in runs.items():
        try:
            _check_entry(entry if isinstance(entry, dict) else {})
        except ValueError as error:
            raise ValueError(f"'{path}': run '{name}' {error}; --write makes it anew.") from error
    return runs


def check(runs: Sequence[Run], expected: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Check every name, by the mean over the seeds that are expected of it.

    Returns:
        Failures, and what was passed or has no expectation.
    """
    failures: list[str] = []
    passed: list[str] = []
    for name, entry in expected.items():
        named = [run for run in runs if run.name == name]
        chosen, reasons = _choose(name, named, entry)
        failures += reasons
        for key, wanted in entry["metrics"].items() if not reasons else ():
            text, fine = _judge(chosen, key, wanted)
            (passed if fine else failures).append(f"{_label(name, entry['seeds'])}: {text}")
        others = {_label(name, [run.seed]) for run in named if run.seed not in entry["seeds"]}
        passed += [f"{other}: nothing is expected of this seed" for other in sorted(others)]
    strangers = sorted({run.name for run in runs} - expected.keys())
    passed += [f"{name}: nothing is expected of this run" for name in strangers]
    return failures, passed


def write_expected(
    path: str | Path, runs: Sequence[Run], metrics: Sequence[str] = (), tolerance: float = 0.01
) -> dict[str, Any]:
    """Write what the present runs reach, the mean of a name's seeds, as expected.

    Args:
        path: Replaced atomically.
        runs: One measurement of each name and seed.
        metrics: Keys; by default the first one of each run.
        tolerance: For each metric, in its unit.

    Raises:
        ValueError: If there is no run, one lacks a value, one name was measured in several ways, or
            one seed was trained in several.
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"the tolerance is {tolerance}, it must be finite and not negative.")
    if not runs:
        raise ValueError("there is no run with metrics to write expectations from.")
    expected = {}
    for name in sorted({run.name for run in runs}):
        named = [run for run in runs if run.name == name]
        keys = [with_prefix(key, named[0].metrics) for key in metrics]
        keys = keys or default_keys(named[0].record)[:1]
        measured = {canonical(comparison_key(run.record, prefixes_of(keys))) for run in named}
        if len(measured) > 1:
            differs = describe_differences(*map(json.loads, sorted(measured)[:2]))
            raise ValueError(
                f"'{name}' was measured in {len(measured)} ways ({'; '.join(differs)}): give the "
                "folders of one."
            )
        entry: dict[str, Any] = {
            **json.loads(measured.pop()),
            "seeds": sorted({run.seed for run in named}, key=lambda seed: (seed is None, seed)),
            "metrics": {key: {} for key in keys},
        }
        chosen, reasons = _choose(name, named, entry)
        if reasons:
            raise ValueError("; ".join(reasons))
        means = {key: _mean(chosen, key) for key in keys}
        undefined = [key for key, mean in means.items() if math.isnan(mean)]
        if undefined or not keys:
            raise ValueError(f"'{name}' has no value of {', '.join(undefined) or 'any metric'}.")
        entry["metrics"] = {
            key: {"value": mean, "tolerance": tolerance} for key, mean in means.items()
        }
        expected[name] = entry
    write_json(path, {"schema": SCHEMA, "runs": expected})
    return expected


def _check_entry(entry: Mapping[str, Any]) -> None:
    """Raise a ValueError that goes on behind the name of the run."""
    metrics, seeds, evaluators = (entry.get(key) for key in ("metrics", "seeds", "evaluators"))
    if not isinstance(metrics, dict) or not metrics:
        raise ValueError("has no 'metrics' to check")
    for key, wanted in metrics.items():
        parts = wanted if isinstance(wanted, dict) else {}
        if not all(_is_finite(parts.get(part)) for part in ("value", "tolerance")):
            raise ValueError(
                f"needs a 'value' and a 'tolerance' for '{key}', finite numbers, not {wanted!r:.60}"
            )
        if parts["tolerance"] < 0:
            raise ValueError(f"has a tolerance for '{key}' that is negative")
    known = isinstance(seeds, list) and all(type(seed) in (int, type(None)) for seed in seeds)
    if not known or not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"needs 'seeds', a list of different integers or null, not {seeds!r:.60}")
    fine = isinstance(evaluators, list) and all(
        isinstance(evaluator, dict) and isinstance(evaluator.get("settings"), (dict, type(None)))
        for evaluator in evaluators
    )
    if not fine:
        raise ValueError(
            f"needs 'evaluators', a list of objects with 'settings', not {evaluators!r:.60}"
        )


def _is_finite(value: Any) -> bool:
    # Integers of any length are valid JSON, but not all of them fit into a float.
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _choose(
    name: str, runs: Sequence[Run], entry: Mapping[str, Any]
) -> tuple[list[Run], list[str]]:
    """The run of each expected seed, and why there is none, or not one."""
    if not runs:
        return [], [f"{name}: no record of this run was found"]
    chosen: list[Run] = []
    reasons: list[str] = []
    for seed in entry["seeds"]:
        label = _label(name, [seed])
        of_seed = sorted((run for run in runs if run.seed == seed), key=lambda run: run.record.time)
        alike = [run for run in of_seed if not _differences(run, entry)]
        # Of several measurements of one training the latest counts.
        trainings = {
            canonical([run.identity, run.record.folder if seed is None else None]): run
            for run in alike
        }
        if not of_seed:
            reasons.append(f"{label}: no record of this seed was found")
        elif not alike:
            differs = "; ".join(_differences(of_seed[-1], entry))
            reasons.append(f"{label}: measured differently than expected: {differs}")
        elif len(trainings) > 1:
            folders = ", ".join(run.record.folder for run in trainings.values())
            reasons.append(
                f"{label}: {len(trainings)} different trainings ({folders}): give the folder of one"
            )
        chosen += trainings.values()
    return chosen, reasons


def _mean(runs: Sequence[Run], key: str) -> float:
    return fmean(run.metrics.get(key, Value(math.nan)).value for run in runs)


def _judge(runs: Sequence[Run], key: str, wanted: Mapping[str, float]) -> tuple[str, bool]:
    lacking = [run for run in runs if key not in run.metrics]
    if lacking:
        known = ", ".join(list(lacking[0].metrics)[:8])
        return f"unknown metric '{key}'; '{lacking[0].record.path}' has {known}", False
    value, tolerance = _mean(runs, key), wanted["tolerance"]
    lower = make_column(key, [run.record for run in runs]).lower
    bound = wanted["value"] + (tolerance if lower else -tolerance)
    # Undefined values compare false, and fail.
    fine = value <= bound if lower else value >= bound
    sign = "<=" if lower else ">="
    shown = "undefined" if math.isnan(value) else f"{value:.6g}"
    needed = f"{wanted['value']:.6g} {'+' if lower else '-'} {tolerance:g} = {bound:.6g}"
    return f"{key} {shown}, expected {sign} {needed}", fine


def _label(name: str, seeds: Sequence[int | None]) -> str:
    if list(seeds) == [None]:
        return name
    shown = ", ".join("none" if seed is None else str(seed) for seed in seeds)
    return f"{name}, seed {shown}" if len(seeds) == 1 else f"{name}, mean of seeds {shown}"


def _differences(run: Run, entry: Mapping[str, Any]) -> list[str]:
    wanted = {key: value for key, value in entry.items() if key not in ("metrics", "seeds")}
    have = comparison_key(run.record, prefixes_of(entry["metrics"]))
    return describe_differences(wanted, have)
