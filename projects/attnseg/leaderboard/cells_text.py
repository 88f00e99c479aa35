"""A sweep's table as Markdown, CSV and JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any

from attnseg._atomic import to_plain
from attnseg.leaderboard.cells import LEVEL, CellRow, CellTable, bounds_of
from attnseg.leaderboard.columns import Column
from attnseg.leaderboard.export import csv_text
from attnseg.leaderboard.groups import Row
from attnseg.leaderboard.text import markdown_table, markdown_text, seeds_text

_NONE = "–"


def cells_markdown(table: CellTable) -> str:
    """The table for reading: rounded, in percent where the values are fractions."""
    several = len(table.kinds) > 1
    headers = [*table.axes, "Seeds", *(["Measured"] if several else [])]
    left = len(headers)
    headers += [f"{c.key} {'↓' if c.lower else '↑'}" for c in table.columns]
    reference = table.reference
    headers += [reference.title(key) for key in reference.keys] if reference else []
    rows = [_cells(table, entry, several) for entry in table.rows]
    parts = [f"## {markdown_text(table.title)}"]
    parts += [markdown_text(line) for line in table.above]
    parts.append(markdown_table(headers, rows, left))
    parts += [markdown_text(line) for line in _legend(table)]
    return "\n\n".join(parts) + "\n"


def cells_csv(table: CellTable) -> str:
    """One line a row, unrounded; figures of others in columns of their own, as printed there."""
    header = [*table.axes, "n", "expected", "seeds", "missing", "measured", "note"]
    for column in table.columns:
        header += [column.key, *(f"{column.key} {x}" for x in ("sd", "n", "low", "high"))]
    reference = table.reference
    header += [reference.title(key) for key in reference.keys] if reference else []
    lines = []
    for row, kind in table.rows:
        line: list[Any] = [*row.labels, len(row.runs), row.expected]
        line += [" ".join(map(str, values)) for values in (row.seeds, row.missing)]
        line += [None if kind is None else kind + 1, row.note]
        for column in table.columns:
            found = row.summary(column.key)
            line += [found.value, found.sd, found.n, *bounds_of(row, column.key)]
        line += [row.reference.get(key) for key in reference.keys] if reference else []
        lines.append(line)
    return csv_text(header, lines)


def cells_json(table: CellTable) -> str:
    """Everything, unrounded; figures of others under ``paper``."""
    reference = table.reference
    content = {
        "schema": 1,
        "title": table.title,
        "axes": table.axes,
        "columns": [vars(column) for column in table.columns],
        "paper": reference and {"source": reference.source, "unit": reference.unit},
        "rows": [_row_dict(table, entry) for entry in table.rows],
        "measured": [{"title": kind.title, **kind.key} for kind in table.kinds],
        "notes": [*table.above, *table.notes],
    }
    return json.dumps(to_plain(content), indent=2, allow_nan=False) + "\n"


def value_text(column: Column, row: Row) -> str:
    """A mean over seeds with its deviation, number and interval; or a value with its interval."""
    found, bounds = row.summary(column.key), bounds_of(row, column.key)
    if math.isnan(found.value):
        return "n/a" if row.runs else _NONE
    text = column.show(found.value)
    if len(row.runs) > 1:
        text += f" ± {column.show(found.sd)} ({found.n})"
    if math.isnan(bounds.low) or math.isnan(bounds.high):
        return text
    return f"{text} [{column.show(bounds.low)}, {column.show(bounds.high)}]"


def _cells(table: CellTable, entry: CellRow, several: bool) -> list[str]:
    row, kind = entry
    cells = [label or _NONE for label in row.labels]
    cells.append(seeds_text(row) if row.runs else row.note or _NONE)
    if several:
        cells.append(_NONE if kind is None else _letter(kind))
    cells += [value_text(column, row) for column in table.columns]
    for key in table.reference.keys if table.reference else ():
        figure = row.reference.get(key)
        cells.append(_NONE if figure is None else str(figure))
    return cells


def _legend(table: CellTable) -> list[str]:
    lines = []
    percent = [column.key for column in table.columns if column.percent]
    runs = any(row.runs for row, _ in table.rows)
    if percent and runs:
        which = "Our metrics" if len(percent) == len(table.columns) else ", ".join(percent)
        lines.append(f"{which} in percent, rounded; CSV and JSON hold unrounded fractions.")
    if any(len(row.runs) > 1 for row, _ in table.rows):
        lines.append(
            "Several seeds: mean ± sample standard deviation (n) "
            f"[{LEVEL * 100:g} % interval of the mean over seeds, Student's t]."
        )
    if any(len(row.runs) == 1 for row, _ in table.rows):
        lines.append("One seed: value [interval over images].")
    if len(table.kinds) > 1:
        lines.append("Values of different letters under Measured do not compare:")
        lines += [f"{_letter(i)}: {kind.title}." for i, kind in enumerate(table.kinds)]
    if table.reference:
        lines.append(
            f"The figures of {table.reference.source} are the paper's, as printed there; nothing "
            "here measured them."
        )
    return lines + table.notes


def _letter(kind: int) -> str:
    return chr(ord("A") + kind) if kind < 26 else str(kind + 1)


def _row_dict(table: CellTable, entry: CellRow) -> dict[str, Any]:
    row, kind = entry
    keys: Sequence[str] = [column.key for column in table.columns]
    return {
        "labels": dict(zip(table.axes, row.labels, strict=True)),
        "n": len(row.runs),
        "expected": row.expected,
        "seeds": row.seeds,
        "missing": row.missing,
        "measured": None if kind is None else kind + 1,
        "note": row.note or None,
        "metrics": {
            key: {**row.summary(key)._asdict(), **bounds_of(row, key)._asdict()} for key in keys
        },
        "paper": dict(row.reference),
        "runs": [run.record.id for run in row.runs],
    }
