"""Tables and records as files: CSV and JSON unrounded, Markdown and LaTeX for reading."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attnseg._atomic import to_plain, write_text
from attnseg.leaderboard.groups import Row, Table
from attnseg.leaderboard.records import Problem, Record
from attnseg.leaderboard.text import to_latex, to_markdown

COSTS = (
    *("params", "macs", "latency_ms_p50", "latency_ms_p95", "images_per_second"),
    *("peak_memory_mib", "batch_size", "training_seconds"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_RECORD_KEYS = (
    *("id", "mode", "name", "seed", "finished", "work_dir", "config.hash", "checkpoint.file"),
    *("checkpoint.sha256", "git.revision", "git.dirty", "data.type", "data.split", "data.hash"),
    *("data.annotations", "data.images", "tta", "iter", "epoch", "world_size", "cost.device"),
    *("hardware.cpu", "hardware.gpu", "versions.attnseg", "versions.torch", "command"),
)


def table_csv(tables: Sequence[Table]) -> str:
    """One line a row, with all metrics of its runs; tables are told apart by their number."""
    metrics = _metrics([run.record for table in tables for run in table.runs])
    header = ["table", "rank", "name", "n", "expected", "seeds", "missing"]
    for key in metrics:
        header += [key, f"{key} sd", f"{key} n", f"{key} low", f"{key} high"]
    header += [*COSTS, "difference", "difference low", "difference high", "runs"]
    lines: list[list[Any]] = []
    for number, table in enumerate(tables, 1):
        for row in table.rows:
            line: list[Any] = [number, row.rank, row.name, len(row.runs), row.expected]
            line += [_words(row.seeds), _words(row.missing)]
            for key in metrics:
                found = row.summary(key)
                line += [found.value, found.sd, found.n, found.low, found.high]
            line += [row.cost(key) for key in COSTS]
            line += list(row.difference or (None, None, None))
            lines.append([*line, _words(run.record.id for run in row.runs)])
    return csv_text(header, lines)


def records_csv(records: Sequence[Record]) -> str:
    """One line a record, also those that are not ranked."""
    metrics = _metrics(records)
    header = [*_RECORD_KEYS, *(f"cost.{key}" for key in COSTS)]
    header += [f"{key}{part}" for key in metrics for part in ("", " low", " high")] + ["file"]
    lines = []
    for record in records:
        line = [record.get(key) for key in _RECORD_KEYS]
        line += [record.get(f"cost.{key}") for key in COSTS]
        for key in metrics:
            line += record.metrics.get(key, (None, None, None))
        lines.append([*line, record.path])
    return csv_text(header, lines)


def tables_json(
    tables: Sequence[Table], records: Sequence[Record], problems: Sequence[Problem]
) -> str:
    """Everything: tables, the full records, and the files that were skipped."""
    content = {
        "schema": 1,
        "tables": [table_dict(table) for table in tables],
        "records": [{**record.data, "file": str(record.path)} for record in records],
        "skipped": [problem._asdict() for problem in problems],
    }
    return json.dumps(to_plain(content), indent=2, allow_nan=False) + "\n"


def table_dict(table: Table) -> dict[str, Any]:
    """A table as JSON values."""
    return {
        "title": table.title,
        "measured": table.key,
        "differs": table.differs,
        "notes": table.notes,
        "level": table.level,
        "columns": [vars(column) for column in table.columns],
        "rows": [_row_dict(row) for row in table.rows],
    }


def write_files(
    folder: str | Path,
    formats: Sequence[str],
    tables: Sequence[Table],
    records: Sequence[Record],
    problems: Sequence[Problem],
) -> list[Path]:
    """Write ``leaderboard.*`` and, with CSV, ``records.csv``; each replaces an old one whole.

    Args:
        folder: Made where it is missing.
        formats: Any of `FORMATS`.
        tables: What is ranked.
        records: All records.
        problems: What was skipped.

    Raises:
        OSError: If the folder cannot be written; old files are then unchanged.
    """
    folder = Path(folder)
    contents = {}
    for form in formats:
        contents[folder / f"leaderboard.{form}"] = render(form, tables, records, problems)
        if form == "csv":
            contents[folder / "records.csv"] = records_csv(records)
    for path, text in contents.items():
        write_text(path, text)
    return list(contents)


def render(
    form: str, tables: Sequence[Table], records: Sequence[Record], problems: Sequence[Problem]
) -> str:
    """One of `FORMATS` as text."""
    return _RENDERERS[form](tables, records, problems)


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "name": row.name,
        "n": len(row.runs),
        "expected": row.expected,
        "seeds": row.seeds,
        "missing": row.missing,
        "runs": [run.record.id for run in row.runs],
        "metrics": {
            key: row.summary(key)._asdict() for key in _metrics([run.record for run in row.runs])
        },
        "cost": {key: row.cost(key) for key in COSTS},
        "difference": None if row.difference is None else row.difference._asdict(),
    }


def _metrics(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record.metrics))


def _words(values: Any) -> str:
    return " ".join("unknown" if value is None else str(value) for value in values)


def csv_text(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A table in CSV; None and NaN are empty fields.

    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_field, header))
    writer.writerows([map(_field, line) for line in lines])
    return buffer.getvalue()


def _field(value: Any) -> Any:
    if value is None or value != value:
        return ""
    if isinstance(value, (int, float)):
        return value
    # A line break within a field begins a row in some readers.
    text = re.sub(r"[\r\n]+", " ", str(value))
    return f"'{text}" if str(value).startswith(_FORMULA) else text


_Renderer = Callable[[Sequence[Table], Sequence[Record], Sequence[Problem]], str]
_RENDERERS: dict[str, _Renderer] = {
    "csv": lambda tables, _records, _problems: table_csv(tables),
    "md": lambda tables, _records, _problems: to_markdown(tables),
    "json": tables_json,
    "tex": lambda tables, _records, _problems: to_latex(tables),
}
FORMATS = tuple(_RENDERERS)
