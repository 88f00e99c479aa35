"""The table of a sweep: a row for each cell, in the order of the axes, not ranked."""

import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, NamedTuple

from scipy.stats import t as student_t

from attnseg.leaderboard.columns import Column, make_column
from attnseg.leaderboard.groups import Reference, Row, Table
from attnseg.leaderboard.records import Record
from attnseg.leaderboard.runs import (
    Run,
    canonical,
    comparison_key,
    describe_differences,
    latest_runs,
    prefixes_of,
)

LEVEL = 0.95
"""Coverage of the interval of a mean over seeds."""


@dataclass(frozen=True)
class Cell:
    """What a row is made of.

    Attributes:
        labels: One for each axis; empty texts behind the name of what has no axes.
        seeds: That there should be.
        records: Of its finished runs, oldest first.
        reference: Metric -> figure of somebody else.
        note: Why there are no records.
    """

    labels: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    records: Sequence[Record] = ()
    reference: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


class CellRow(NamedTuple):
    """A row, and the number of the kind of measurement it belongs to; None without runs."""

    row: Row
    kind: int | None


@dataclass(frozen=True)
class CellTable:
    """A sweep's table.

    Attributes:
        title: Headline.
        axes: Names of the first columns.
        columns: Metrics.
        rows: In the order of the cells.
        kinds: Rows that were measured alike, as tables for the page; those without runs are in
            the first one.
        reference: What the figures of others are; None if there are none.
        above: What a reader has to know first.
        notes: What else.
    """

    title: str
    axes: list[str]
    columns: list[Column]
    rows: list[CellRow]
    kinds: list[Table]
    reference: Reference | None
    above: list[str]
    notes: list[str]


def build_cells(
    title: str,
    axes: Sequence[str],
    cells: Sequence[Cell],
    keys: Sequence[str],
    reference: Reference | None = None,
    above: Sequence[str] = (),
) -> CellTable:
    """Put a sweep's cells into a table.

    Where a cell was measured in several ways, the one that gives most of the columns counts, then
    the one with most runs.

    Args:
        title: Headline.
        axes: Names of the axes.
        cells: In the order of the rows.
        keys: Full metric keys of the columns.
        reference: What the cells' figures of others are.
        above: Lines in front of the table.
    """
    prefixes = prefixes_of(keys)
    measured = [_by_kind(cell.records, keys, prefixes) for cell in cells]
    popular = Counter(kind for found in measured for kind in found)
    chosen = [_chosen(found, keys, popular) for found in measured]
    order = list(dict.fromkeys(kind for kind, _ in chosen if kind))
    rows = []
    for cell, (kind, runs) in zip(cells, chosen, strict=True):
        missing = [seed for seed in cell.seeds if seed not in {run.seed for run in runs}]
        note = cell.note or ("" if runs else "its records have no metrics")
        row = Row(runs, missing, labels=cell.labels, reference=cell.reference, note=note)
        rows.append(CellRow(row, order.index(kind) if kind else None))
    records = [run.record for _, runs in chosen for run in runs]
    columns = [make_column(key, records) for key in keys]
    notes = _missing_columns(keys, records)
    kinds = _kinds(rows, columns, prefixes, len(order))
    for table in kinds:
        table.axes, table.reference = list(axes), reference
        table.notes = [*above, *notes]
    return CellTable(title, list(axes), columns, rows, kinds, reference, list(above), notes)


class Interval(NamedTuple):
    """A mean over seeds; NaN where it is not defined."""

    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's t interval of the mean of at least two values, else NaN.

    It speaks of the seeds alone: the images count as known.

    Args:
        values: Of one metric, one for each seed.
        level: Coverage, in (0, 1).
    """
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:
        return Interval(math.nan, math.nan)
    mean, count = fmean(known), len(known)
    half = float(student_t.ppf((1 + level) / 2, count - 1)) * stdev(known) / math.sqrt(count)
    return Interval(mean - half, mean + half)


def bounds_of(row: Row, key: str) -> Interval:
    """Over seeds where there are several runs, else over images as the record has it."""
    if len(row.runs) > 1:
        values = [run.metrics[key].value for run in row.runs if key in run.metrics]
        return mean_interval(values)
    found = row.summary(key)
    return Interval(found.low, found.high)


def _by_kind(
    records: Sequence[Record], keys: Sequence[str], prefixes: set[str | None]
) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    having = [r for r in records if any(key in r.metrics for key in keys)]
    for run in latest_runs(having or records, prefixes):
        kind = canonical(comparison_key(run.record, prefixes))
        found.setdefault(kind, []).append(run)
    return found


def _chosen(
    found: Mapping[str, list[Run]], keys: Sequence[str], popular: Mapping[str, int]
) -> tuple[str | None, list[Run]]:
    def worth(kind: str) -> tuple[Any, ...]:
        runs = found[kind]
        have = max(sum(key in run.metrics for key in keys) for run in runs)
        return (have, len(runs), popular[kind])

    best = max(found, key=worth, default=None)
    runs = found[best] if best is not None else []
    return best, sorted(runs, key=lambda run: (run.seed is None, run.seed or 0))


def _kinds(
    rows: Sequence[CellRow], columns: list[Column], prefixes: set[str | None], count: int
) -> list[Table]:
    tables: list[Table] = []
    for kind in range(count):
        mine = [row for row, number in rows if number == kind or (number is None and not kind)]
        record = next(run.record for row in mine for run in row.runs)
        table = Table(comparison_key(record, prefixes), columns, mine)
        levels = {run.record.get("intervals.level") for run in table.runs} - {None}
        table.level = levels.pop() if len(levels) == 1 else None
        if tables:
            table.differs = describe_differences(tables[0].key, table.key)
        tables.append(table)
    return tables


def _missing_columns(keys: Sequence[str], records: Sequence[Record]) -> list[str]:
    have = {key for record in records for key in record.metrics}
    notes = []
    for key in keys:
        if records and key not in have:
            near = difflib.get_close_matches(key, have, n=1) or sorted(have)[:5]
            notes.append(f"No finished run has the metric {key}; there is {', '.join(near)}.")
    return notes
