"""A benchmark's rows as a table on the screen and as CSV and JSON files."""

import csv
import io
import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from attnseg.apis.benchmark import Row
from attnseg.apis.benchmark_worker import Setting
from attnseg.apis.command import UsageError

_COLUMNS = ("config", "params M", "GMACs", "p50 ms", "p95 ms", "images/s", "peak MiB", "time ratio")


def make_folder(folder: str | Path) -> Path:
    """Make the report's folder, before hours of measuring.

    Raises:
        UsageError: It cannot be made or written.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: folder '{path}' cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"--out: folder '{path}' cannot be written.")
    return path


def text_table(rows: Sequence[Row]) -> str:
    """One table for each precision and batch size; errors stand below."""
    blocks, errors = [], {}
    for dtype, batch in dict.fromkeys((row.dtype, row.batch) for row in rows):
        chosen = [row for row in rows if (row.dtype, row.batch) == (dtype, batch)]
        blocks.append(f"{dtype}, batch {batch}\n" + _aligned([_COLUMNS, *map(_cells, chosen)]))
        errors.update({row.name: row.error for row in chosen if row.error})
    blocks += ["failed:\n" + "\n".join(f"  {name}: {text}" for name, text in errors.items())]
    return "\n\n".join(blocks if errors else blocks[:-1])


def write_report(
    rows: Sequence[Row], setting: Setting, folder: str | Path, repeats: int
) -> tuple[Path, Path]:
    """Write CSV and JSON; their name says device, precisions, size and versions.

    A report that is there already is left alone: the name gets a number.

    Returns:
        The two files.

    Raises:
        OSError: The folder cannot be written.
    """
    from attnseg.engine.atomic import to_plain
    from attnseg.engine.provenance import command, hardware, versions

    machine, found = hardware(), versions()
    dtypes = "+".join(dict.fromkeys(row.dtype for row in rows))
    device = machine["gpu"] if setting.device == "cuda" else "cpu"
    size = "x".join(map(str, setting.shape))
    name = "-".join(
        [
            *("benchmark", device, dtypes, size, setting.mode),
            *(["compiled"] if setting.compile else []),
            *(f"torch{found['torch']}", f"attnseg{found['attnseg']}"),
        ]
    )
    stem = Path(folder) / re.sub(r"[^a-z0-9.+-]+", "-", name.lower())
    buffer = io.StringIO()
    columns = [field.name for field in fields(Row)]
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    content = {
        "setting": {**asdict(setting), "repeats": repeats},
        "rows": [asdict(row) for row in rows],
        "versions": {**found, "mmcv_operators": _has_operators()},
        "hardware": {**machine, "threads": setting.threads},
        "command": command(),
    }
    text = json.dumps(to_plain(content), indent=2, allow_nan=False) + "\n"
    return _create_both(stem, buffer.getvalue(), text)


def _create_both(stem: Path, table: str, record: str) -> tuple[Path, Path]:
    """Write both files under the first number that is free for both, atomically."""
    from attnseg.engine.atomic import create_bytes

    for number in itertools.count(1):
        name = stem.name if number == 1 else f"{stem.name}-{number}"
        csv_file, json_file = (stem.with_name(f"{name}.{kind}") for kind in ("csv", "json"))
        try:
            create_bytes(csv_file, table.encode())
        except FileExistsError:
            continue
        try:
            create_bytes(json_file, record.encode())
        except OSError as error:
            csv_file.unlink()
            if not isinstance(error, FileExistsError):
                raise
        else:
            return csv_file, json_file
    raise AssertionError("unreachable")


def _has_operators() -> bool:
    """Whether mmcv's operators are compiled, rather than replaced by our stand-in."""
    import importlib.machinery

    import mmcv

    return importlib.machinery.PathFinder.find_spec("mmcv._ext", mmcv.__path__) is not None


def _cells(row: Row) -> tuple[str, ...]:
    def number(value: float | None, scale: float = 1.0) -> str:
        return "-" if value is None else f"{value / scale:.4g}"

    return (
        row.name,
        number(row.params, 1e6),
        number(row.macs, 1e9),
        *(number(v) for v in (row.latency_ms_p50, row.latency_ms_p95, row.images_per_second)),
        number(row.peak_memory_mib),
        number(row.time_ratio),
    )


def _aligned(rows: Sequence[Sequence[Any]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        name, *rest = row
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *numbers]))
    return "\n".join(lines)
