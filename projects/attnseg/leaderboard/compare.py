"""Two runs side by side, by paired bootstrap differences or, unpaired, by their intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from attnseg.evaluation.bootstrap import PairedDifference, paired_differences
from attnseg.leaderboard.columns import Column, is_main, make_column, with_prefix
from attnseg.leaderboard.records import Record, Value, load_records
from attnseg.leaderboard.runs import comparison_key, describe_differences
from attnseg.leaderboard.text import columns_of_text
from attnseg.per_image import PerImageTable, read_tables


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
        level: Share of the resamples inside the intervals.
        differs: What was measured differently; empty for a paired comparison.
    """

    a: Record
    b: Record
    lines: list[Line]
    images: int | None
    level: float
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
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two runs.

    Args:
        a: First run.
        b: Second run.
        paired: Bootstrap the difference image by image; needs the per-image statistics of both.
        metrics: Keys, with or without prefix; by default all that stand for all classes.
        resamples: Number of draws.
        level: Share of the resamples inside an interval; unpaired intervals are the records' own.
        seed: Of the draws.

    Raises:
        ValueError: If the runs have no metric in common or, paired, differ in images, classes or
            settings, or lack statistics; says which.
    """
    shared = {key: value for key, value in a.metrics.items() if key in b.metrics}
    if not shared:
        raise ValueError(
            f"the runs have no metric in common: A has {', '.join(list(a.metrics)[:5])}; "
            f"B has {', '.join(list(b.metrics)[:5])}."
        )
    prefixes = [evaluator.get("prefix") for evaluator in a.evaluators]
    if paired:
        found, images = _paired(a, b, resamples, level, seed)
        known = {**dict.fromkeys(found, Value(math.nan)), **shared}
    else:
        found, images, known = {}, None, shared
    keys = [with_prefix(key, known) for key in metrics]
    keys = keys or [k for k in (found or shared) if is_main(k, prefixes)]
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
    own = a.get("intervals.level") if not paired else level
    differs = describe_differences(comparison_key(a), comparison_key(b))
    return Comparison(a, b, lines, images, own or level, differs)


def comparison_text(comparison: Comparison, digits: int = 2) -> str:
    """The comparison as aligned text."""
    names = [f"{which} = {run.name}" for which, run in (("A", comparison.a), ("B", comparison.b))]
    seeds = [f", seed {run.seed}" if run.seed is not None else "" for run in _runs(comparison)]
    head = [f"{n}{s}, {r.path}" for n, s, r in zip(names, seeds, _runs(comparison), strict=True)]
    level = f"{comparison.level * 100:g} %"
    if comparison.images is None:
        rows = [["", "A", "", "B", ""]]
        rows += [_unpaired_line(line, digits) for line in comparison.lines]
        foot = [
            f"Unpaired: each run's own {level} interval over images. Whether they overlap is no "
            "test; --paired is one."
        ]
    else:
        rows = [["", "A", "B", "A - B", "interval", "P(A > B)"]]
        rows += [_paired_line(line, digits) for line in comparison.lines]
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
        "a": {"id": comparison.a.id, "name": comparison.a.name, "file": comparison.a.path},
        "b": {"id": comparison.b.id, "name": comparison.b.name, "file": comparison.b.path},
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


def _paired(
    a: Record, b: Record, resamples: int, level: float, seed: int
) -> tuple[dict[str, PairedDifference], int]:
    tables_a, tables_b = _tables(a), _tables(b)
    common = [name for name in tables_a if name in tables_b]
    if not common:
        raise ValueError(
            f"the per-image statistics of the runs are of different metrics: {', '.join(tables_a)} "
            f"and {', '.join(tables_b)}."
        )
    found, images = {}, 0
    for name in common:
        table = tables_a[name]
        try:
            differences = paired_differences(table, tables_b[name], resamples, level, seed)
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


def _unpaired_line(line: Line, digits: int) -> list[str]:
    cells = [line.column.key]
    for value in (line.a, line.b):
        cells += [line.column.show(value.value, digits), _bounds(line.column, value, digits)]
    return cells


def _paired_line(line: Line, digits: int) -> list[str]:
    column, found = line.column, line.difference
    cells = [column.key, column.show(found.a, digits), column.show(found.b, digits)]
    cells += [column.show(found.delta, digits), _bounds(column, found, digits)]
    return [*cells, "n/a" if math.isnan(found.probability) else f"{found.probability:.3f}"]


def _bounds(column: Column, value: Value | PairedDifference, digits: int) -> str:
    if math.isnan(value.low) or math.isnan(value.high):
        return ""
    return f"[{column.show(value.low, digits)}, {column.show(value.high, digits)}]"
