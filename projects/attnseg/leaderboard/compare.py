"""Two runs side by side, by paired bootstrap differences or, unpaired, by their intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from attnseg.evaluation.bootstrap import PairedDifference, paired_differences
from attnseg.leaderboard.columns import Column, is_main, make_column, with_prefix
from attnseg.leaderboard.records import Record, Value, load_records
from attnseg.leaderboard.runs import comparison_key, describe_differences
from attnseg.leaderboard.text import columns_of_text
from attnseg.per_image import PerImageTable, read_tables

_DRAWS = {"resamples": 1000, "level": 0.95, "seed": 0}


class Line(NamedTuple):
    """One metric of both runs; ``difference`` is None where nothing was paired."""

    column: Column
    a: Value
    b: Value
    difference: PairedDifference | None


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        a: First record.
        b: Second record.
        lines: Metrics that both have.
        images: Number of images that were paired; None without pairing.
        level: Share of the resamples inside the paired intervals; None without pairing.
        differs: What was measured differently; what was paired was not.
    """

    a: Record
    b: Record
    lines: list[Line]
    images: int | None
    level: float | None
    differs: list[str]


def find_run(path: str | Path) -> Record:
    """The record at a path, or the latest one with metrics below a folder: test before train.

    Raises:
        FileNotFoundError: If there is no such path, or no record below it.
        ValueError: If the folder holds several runs, or the file is damaged.
    """
    records, problems = load_records([path])
    if problems and Path(path).is_file():
        raise ValueError(problems[0].reason)
    usable = [record for record in records if record.metrics]
    tested = [record for record in usable if record.mode == "test"] or usable
    if not tested:
        skipped = " ".join(problem.reason for problem in problems)
        raise FileNotFoundError(
            f"'{path}' holds no record with metrics: tools/test.py writes one. {skipped}".strip()
        )
    names = sorted({record.name for record in tested})
    if len(names) > 1 or len({record.folder for record in tested}) > 1:
        raise ValueError(
            f"'{path}' holds several runs ({', '.join(names[:5])}): give the folder or the "
            "record file of one."
        )
    return tested[-1]


def compare(
    a: Record,
    b: Record,
    paired: bool = False,
    metrics: Sequence[str] = (),
    resamples: int | None = None,
    level: float | None = None,
    seed: int | None = None,
) -> Comparison:
    """Compare two runs.

    Args:
        a: First run.
        b: Second run.
        paired: Bootstrap the difference image by image; needs the per-image statistics of both.
        metrics: Keys, with or without prefix; by default all that stand for all classes,
            or, where there are none, those of classes.
        resamples: Number of paired draws, 1000 by default.
        level: Share of them inside an interval, 0.95 by default.
        seed: Of the draws, 0 by default.

    Raises:
        ValueError: If the runs have no metric in common or, paired, differ in data, images, classes
            or settings, or lack statistics; says which. Also if a number that only pairing uses is
            given without it.
    """
    draws = {"resamples": resamples, "level": level, "seed": seed}
    given = {name: value for name, value in draws.items() if value is not None}
    if given and not paired:
        raise ValueError(
            f"--paired is needed for {', '.join(given)}: without it, the runs keep the intervals "
            "that their tests wrote."
        )
    if seed is not None and seed < 0:
        raise ValueError(f"the seed is {seed}, it must not be negative.")
    shared = {key: value for key, value in a.metrics.items() if key in b.metrics}
    if not shared:
        raise ValueError(
            f"the runs have no metric in common: A has {', '.join(list(a.metrics)[:5])}; "
            f"B has {', '.join(list(b.metrics)[:5])}."
        )
    if paired:
        found, images = _paired(a, b, {**_DRAWS, **given})
        known = {**dict.fromkeys(found, Value(math.nan)), **shared}
    else:
        found, images, known = {}, None, shared
    keys = [with_prefix(key, known) for key in metrics]
    prefixes = [*a.prefixes, *b.prefixes]
    keys = keys or [k for k in (found or shared) if is_main(k, prefixes)] or list(found or shared)
    if paired:
        unpaired = [key for key in keys if key not in found]
        if unpaired:
            raise ValueError(
                f"the per-image statistics of the runs do not give {', '.join(unpaired)}: compare "
                "these without --paired."
            )
    lines = [
        Line(
            make_column(key, [a, b]),
            a.metrics.get(key, Value(math.nan)),
            b.metrics.get(key, Value(math.nan)),
            found.get(key),
        )
        for key in keys
    ]
    if not metrics:
        # What the runs were given says nothing about them.
        lines = [line for line in lines if line.column.ranked] or lines
    level = {**_DRAWS, **given}["level"] if paired else None
    differs = describe_differences(comparison_key(a), comparison_key(b))
    return Comparison(a, b, lines, images, level, differs)


def comparison_text(comparison: Comparison) -> str:
    """The comparison as aligned text."""
    names = [f"{which} = {run.name}" for which, run in (("A", comparison.a), ("B", comparison.b))]
    seeds = [f", seed {run.seed}" if run.seed is not None else "" for run in _runs(comparison)]
    head = [f"{n}{s}, {r.path}" for n, s, r in zip(names, seeds, _runs(comparison), strict=True)]
    if comparison.images is None:
        rows = [["", "A", "", "B", ""]]
        rows += [_unpaired_line(line) for line in comparison.lines]
        foot = [
            f"Unpaired: each run's own interval over images ({_levels(comparison)}). Whether they "
            "overlap is no test; --paired is one."
        ]
    else:
        rows = [["", "A", "B", "A - B", "interval", "P(A > B)"]]
        rows += [
            _paired_line(line.column, line.difference)
            for line in comparison.lines
            if line.difference is not None
        ]
        level = _percent(comparison.level)
        foot = [f"Paired bootstrap over {comparison.images} images, {level} intervals."]
    if any(line.column.percent for line in comparison.lines):
        foot.append("Fractions in percent, rounded.")
    if any(line.column.lower for line in comparison.lines):
        lower = ", ".join(line.column.key for line in comparison.lines if line.column.lower)
        foot.append(f"Lower is better: {lower}.")
    if comparison.differs:
        foot.append(f"MEASURED DIFFERENTLY (A and B): {'; '.join(comparison.differs)}.")
    return "\n".join([*head, "", columns_of_text(rows), "", *foot])


def comparison_dict(comparison: Comparison) -> dict[str, object]:
    """The comparison as JSON values, unrounded."""
    return {
        "a": _run_dict(comparison.a),
        "b": _run_dict(comparison.b),
        "images": comparison.images,
        "level": comparison.level,
        "differs": comparison.differs,
        "metrics": {
            line.column.key: {
                "a": line.a._asdict(),
                "b": line.b._asdict(),
                "difference": None if line.difference is None else line.difference._asdict(),
            }
            for line in comparison.lines
        },
    }


def _run_dict(run: Record) -> dict[str, object]:
    own = run.get("intervals.level")
    return {"id": run.id, "name": run.name, "file": run.path, "level": own}


def _levels(comparison: Comparison) -> str:
    levels = [_percent(run.get("intervals.level")) for run in _runs(comparison)]
    return f"A {levels[0]}, B {levels[1]}" if levels[0] != levels[1] else levels[0]


def _percent(level: float | None) -> str:
    return "none" if level is None else f"{level * 100:g} %"


def _paired(
    a: Record, b: Record, draws: Mapping[str, Any]
) -> tuple[dict[str, PairedDifference], int]:
    tables_a, tables_b = _tables(a), _tables(b)
    common = [name for name in tables_a if name in tables_b]
    if not common:
        raise ValueError(
            f"the per-image statistics of the runs are of different metrics: {', '.join(tables_a)} "
            f"and {', '.join(tables_b)}."
        )
    prefixes: list[str | None] = [tables_a[name].prefix for name in common]
    prefixes += [None] * ("" in prefixes)
    differs = describe_differences(comparison_key(a, prefixes), comparison_key(b, prefixes))
    if differs:
        raise ValueError(
            f"the runs were measured differently (A and B): {'; '.join(differs)}. Compare them "
            "without --paired."
        )
    found: dict[str, PairedDifference] = {}
    images = 0
    for name in common:
        table = tables_a[name]
        try:
            differences = paired_differences(table, tables_b[name], **draws)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        images = len(table.images)
        prefix = f"{table.prefix}/" if table.prefix else ""
        found |= {f"{prefix}{key}": value for key, value in differences.items()}
    return found, images


def _tables(record: Record) -> dict[str, PerImageTable]:
    path = record.beside("per_image")
    if path is None:
        raise ValueError(
            f"'{record.path}' names no per-image statistics: test the checkpoint again with a "
            "metric of attnseg, or compare without --paired."
        )
    try:
        return read_tables(path)
    except FileNotFoundError as error:
        raise ValueError(f"the per-image statistics '{path}' are missing.") from error


def _runs(comparison: Comparison) -> tuple[Record, Record]:
    return comparison.a, comparison.b


def _unpaired_line(line: Line) -> list[str]:
    cells = [line.column.key]
    for value in (line.a, line.b):
        cells += [line.column.show(value.value), _bounds(line.column, value)]
    return cells


def _paired_line(column: Column, found: PairedDifference) -> list[str]:
    cells = [column.key, column.show(found.a), column.show(found.b)]
    cells += [column.show(found.delta), _bounds(column, found)]
    return [*cells, "n/a" if math.isnan(found.probability) else f"{found.probability:.3f}"]


def _bounds(column: Column, value: Value | PairedDifference) -> str:
    if math.isnan(value.low) or math.isnan(value.high):
        return ""
    return f"[{column.show(value.low)}, {column.show(value.high)}]"
