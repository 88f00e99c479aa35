"""Tables of comparable runs, with one row for each seed group."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attnseg.leaderboard.columns import Column, default_keys, make_column, with_prefix
from attnseg.leaderboard.records import Record, Value
from attnseg.leaderboard.runs import (
    Run,
    canonical,
    comparison_key,
    describe_differences,
    latest_runs,
    prefixes_of,
)
from attnseg.leaderboard.significance import Difference, Sampler, row_differences


class Summary(NamedTuple):
    """A metric of a row.

    Attributes:
        value: Mean over the runs that define it.
        sd: Sample standard deviation; NaN for a single run.
        n: Runs that define it.
        low: Lower bound; only of single runs.
        high: Upper bound; only of single runs.
    """

    value: float
    sd: float
    n: int
    low: float
    high: float


@dataclass
class Row:
    """Runs that differ in nothing but their seeds.

    Attributes:
        runs: At least one, except in a sweep's table; by seed.
        missing: Expected seeds without a run.
        mark: What tells it from other rows of the same config.
        rank: From 1 on; None where the ranking metric is not defined.
        difference: To the best row, in the ranking metric; None if it cannot be tested.
        labels: Of a sweep's cell, one for each axis; then there may be no runs yet.
        reference: Metric -> figure of somebody else, in the unit of the table's reference.
        note: Why there are no runs.
    """

    runs: list[Run]
    missing: list[int] = field(default_factory=list)
    mark: str = ""
    rank: int | None = None
    difference: Difference | None = None
    labels: tuple[str, ...] = ()
    reference: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        """The labels, else the name of the config with what tells it from others of this name."""
        if self.labels:
            return ", ".join(filter(None, self.labels))
        return self.runs[0].name + (f" ({self.mark})" if self.mark else "")

    @property
    def seeds(self) -> list[int | None]:
        """Seeds of the runs."""
        return [run.seed for run in self.runs]

    @property
    def expected(self) -> int:
        """Number of runs that there should be."""
        return len(self.runs) + len(self.missing)

    def summary(self, key: str) -> Summary:
        """A metric over the runs; what is undefined does not count."""
        found = [run.metrics.get(key, Value(math.nan)) for run in self.runs]
        values = [value.value for value in found if not math.isnan(value.value)]
        if not values:
            return Summary(math.nan, math.nan, 0, math.nan, math.nan)
        single = found[0] if len(found) == 1 else Value(math.nan)
        spread = stdev(values) if len(values) > 1 else math.nan
        return Summary(fmean(values), spread, len(values), single.low, single.high)

    def cost(self, key: str) -> float | None:
        """Mean of a cost over the runs that have it."""
        values = [value for run in self.runs if (value := run.cost(key)) is not None]
        return fmean(values) if values else None


class Reference(NamedTuple):
    """Where figures come from that are not ours.

    Attributes:
        source: Such as a table of a paper.
        unit: Of the figures; may be empty.
        keys: Metrics that have some.
    """

    source: str
    unit: str
    keys: list[str]

    def title(self, key: str) -> str:
        """Header of a column of these figures."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{key}{unit}, paper: {self.source}, not ours"


@dataclass
class Table:
    """Rows that were measured alike.

    Attributes:
        key: What the runs share, see `comparison_key`.
        columns: Shown metrics; the first one ranks.
        rows: From best to worst.
        differs: How this table's measurement differs from that of the first table.
        notes: What a reader has to know.
        level: Of the intervals, if the records say.
        axes: Of the sweep whose cells the rows are, in its order; else none.
        reference: What the rows' figures of others are.
    """

    key: dict[str, Any]
    columns: list[Column]
    rows: list[Row]
    differs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    level: float | None = None
    axes: list[str] = field(default_factory=list)
    reference: Reference | None = None

    @property
    def primary(self) -> Column:
        """The metric that ranks."""
        return self.columns[0]

    @property
    def runs(self) -> list[Run]:
        """The runs of all rows."""
        return [run for row in self.rows for run in row.runs]

    @property
    def title(self) -> str:
        """Data set, split and evaluators in a few words."""
        record = self.runs[0].record
        data = record.get("data") or {}
        types = [str(e["type"]).rpartition(".")[2] for e in self.key["evaluators"]]
        parts = [data.get("type") or "unknown data", data.get("split"), data.get("annotations")]
        parts = list(dict.fromkeys(parts))
        images = [f"{data['images']} images"] if data.get("images") is not None else []
        evaluators = [" + ".join(types) or "unknown evaluator"]
        return ", ".join([*(str(part) for part in parts if part), *images, *evaluators])


def build_tables(
    records: Iterable[Record],
    metrics: Sequence[str] = (),
    seeds: Sequence[int] = (),
    resamples: int = 1000,
) -> list[Table]:
    """Put the latest runs into tables; only runs that were measured alike share one.

    Args:
        records: See `latest_runs`.
        metrics: Keys of the columns, the first ranks; by default the first ones of each evaluator.
            If given, only the evaluators of these metrics have to agree.
        seeds: Seeds that each config should have; by default those that occur in the table.
        resamples: Draws of the test against the best row; 0 for no test.

    Returns:
        The tables, that with most runs first.

    Raises:
        ValueError: If no run has one of the metrics, its name is ambiguous, or ``resamples`` is
            negative.
    """
    if resamples < 0:
        raise ValueError(f"{resamples} resamples: give a number from 1 on, or 0 for no test.")
    records = list(records)
    keys = [with_prefix(key, {key: 0 for r in records for key in r.metrics}) for key in metrics]
    prefixes = prefixes_of(keys) if keys else None
    having = [r for r in records if not keys or any(key in r.metrics for key in keys)]
    runs = latest_runs(having, prefixes)
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(canonical(comparison_key(run.record, prefixes)), []).append(run)
    order = sorted(parts.values(), key=lambda part: -len(part))
    tables = [_table(part, keys, seeds, resamples, prefixes) for part in order]
    for table in tables[1:]:
        table.differs = describe_differences(tables[0].key, table.key)
    for table in tables[:1]:
        table.notes += _left_out(records, runs, keys)
    return tables


def _left_out(records: Sequence[Record], runs: Sequence[Run], keys: Sequence[str]) -> list[str]:
    have = {run.training for run in runs}
    others = {run.training: run for run in latest_runs(records) if run.training not in have}
    if not others:
        return []
    names = sorted({run.name for run in others.values()})
    more = ", ..." if len(names) > 10 else ""
    return [
        f"Without {' and '.join(keys)}, and so in no table: {len(others)} "
        f"run{'s' * (len(others) > 1)} ({', '.join(names[:10])}{more})."
    ]


def _table(
    runs: list[Run],
    keys: Sequence[str],
    seeds: Sequence[int],
    resamples: int,
    prefixes: Collection[str | None] | None,
) -> Table:
    records = [run.record for run in runs]
    if not keys:
        # The first run's metrics first, then what only others report.
        keys = list(dict.fromkeys(key for record in records for key in default_keys(record)))
    columns = [make_column(key, records) for key in keys]
    rows = _rows(runs, seeds)
    primary = columns[0]
    rows.sort(key=lambda row: (*primary.sort_key(row.summary(primary.key).value), row.name))
    _rank(rows, primary)
    levels = {record.get("intervals.level") for record in records} - {None}
    table = Table(comparison_key(records[0], prefixes), columns, rows)
    table.level = levels.pop() if len(levels) == 1 else None
    if resamples and len(rows) > 1 and rows[0].rank is not None:
        table.notes += _test(rows, primary, resamples, table.level or 0.95)
    table.notes += _notes(table)
    return table


def _rows(runs: Sequence[Run], seeds: Sequence[int]) -> list[Row]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(canonical([run.identity, _lone(run)]), []).append(run)
    wanted = set(seeds) or _common_seeds(groups.values())
    rows = []
    for group in groups.values():
        group.sort(key=lambda run: (run.seed is None, run.seed or 0))
        have = {run.seed for run in group}
        missing = sorted(wanted - have) if seeds or have & wanted else []
        rows.append(Row(group, missing))
    _mark_namesakes(rows)
    return rows


def _common_seeds(groups: Iterable[Sequence[Run]]) -> set[int]:
    """Seeds that somebody chose: of rows with several, or of several rows.

    A config without a seed draws one, which nobody can expect elsewhere.
    """
    times = Counter(run.seed for group in groups for run in group)
    several = {run.seed for group in groups if len(group) > 1 for run in group}
    return {
        seed for seed, count in times.items() if seed is not None and (count > 1 or seed in several)
    }


def _mark_namesakes(rows: Sequence[Row]) -> None:
    """Tell rows of one config apart: trained with other options, from other weights, elsewhere."""
    names: dict[str, list[Row]] = {}
    for row in rows:
        names.setdefault(row.name, []).append(row)
    for group in names.values():
        marks = [_origin(row.runs[0]) for row in group]
        for part in marks[0] if len(group) > 1 else ():
            texts = [mark[part] for mark in marks]
            if len(set(texts)) > 1:
                for row, text in zip(group, texts, strict=True):
                    row.mark += f"{', ' if row.mark else ''}{part} {text}"


def _origin(run: Run) -> dict[str, str]:
    _, trained, init = run.identity
    return {
        "options": str(trained or "unknown")[:7],
        "from": str(init or "scratch").rpartition("/")[2][:12],
        "folder": "" if run.seed is not None else run.record.folder.rpartition("/")[2],
    }


def _lone(run: Run) -> str | None:
    """Runs without a seed may be anything: they are never averaged."""
    return run.record.id if run.seed is None else None


def _rank(rows: Sequence[Row], column: Column) -> None:
    """Number sorted rows; equal values share a rank."""
    previous, rank = math.nan, 0
    for position, row in enumerate(rows, 1):
        value = row.summary(column.key).value
        if not math.isnan(value):
            rank = rank if value == previous else position
            row.rank, previous = rank, value


def _test(rows: Sequence[Row], column: Column, resamples: int, level: float) -> list[str]:
    """Compare rows with the first, the best; returns which cannot be, and why."""
    sampler, notes = Sampler(column.key, resamples), []
    draws: list[list[NDArray[np.float64]]] = []
    values: list[list[float]] = []
    for row in rows:
        found = [run.metrics.get(column.key, Value(math.nan)).value for run in row.runs]
        try:
            undefined = [run for run, value in zip(row.runs, found, strict=True) if value != value]
            if undefined:
                seeds = ", ".join(str(run.seed) for run in undefined if run.seed is not None)
                of = f" for seed {seeds}" if seeds else ""
                raise ValueError(f"{column.key} is not defined{of}.")
            draws.append([sampler.draw(run.record) for run in row.runs])
        except ValueError as error:
            if row is rows[0]:
                return [f"No row is tested against the best, {row.name}: {error}"]
            notes.append(f"{row.name} is not tested against the best: {error}")
            draws.append([])
        # The defined seeds tell of the variance also where there are no draws.
        values.append([value for value in found if not math.isnan(value)])
    for row, difference in zip(rows, row_differences(draws, values, level), strict=True):
        row.difference = difference
    return notes


def _notes(table: Table) -> list[str]:
    notes = []
    if table.key["annotation hash"] is None:
        notes.append(
            "The records have no hash of the annotations: that the runs saw the same ones is "
            "known by the file's name only."
        )
    for run in table.runs:
        if run.replaced:
            notes.append(
                f"{run.name}, seed {run.seed}: the latest of {run.replaced + 1} run folders counts."
            )
    machines = {
        (run.cost("batch_size"), run.record.get("cost.device"), _machine(run))
        for run in table.runs
        if run.cost("latency_ms_p50") is not None
    }
    if len(machines) > 1:
        notes.append(
            f"Latencies were measured in {len(machines)} settings (machine, device, batch size): "
            "they do not compare."
        )
    inputs = {canonical(run.record.get("cost.input")) for run in table.runs if run.cost("macs")}
    if len(inputs) > 1:
        notes.append(f"MACs are of {len(inputs)} input sizes.")
    return notes


def _machine(run: Run) -> str:
    hardware = run.record.get("hardware") or {}
    return canonical([hardware.get(key) for key in ("cpu", "gpu", "threads")])
