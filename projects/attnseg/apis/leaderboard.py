"""The commands of ``tools/leaderboard.py``."""

import sys
from collections.abc import Sequence

from attnseg._atomic import write_json, write_text
from attnseg.apis.command import UsageError, input_errors
from attnseg.leaderboard.compare import compare, comparison_dict, comparison_text, find_run
from attnseg.leaderboard.export import FORMATS, render, write_files
from attnseg.leaderboard.gate import check, read_expected, write_expected
from attnseg.leaderboard.groups import build_tables
from attnseg.leaderboard.page import build_page
from attnseg.leaderboard.records import Problem, Record, load_records
from attnseg.leaderboard.runs import latest_runs
from attnseg.record_files import copy_record


def run_collect(
    paths: Sequence[str],
    out: str | None = None,
    formats: str | None = None,
    metrics: Sequence[str] = (),
    seeds: Sequence[int] = (),
    resamples: int = 1000,
    strict: bool = False,
) -> None:
    """Rank the runs below some folders, and print or write the tables.

    Args:
        paths: Folders and record files.
        out: Folder of the files; without one, a single format is printed.
        formats: Names with commas between, see `FORMATS`; by default all, or Markdown when it is
            printed.
        metrics: See `build_tables`, as the next two.
        seeds: Expected seeds.
        resamples: Draws of the test against the best.
        strict: End with an error if a file was skipped.

    Raises:
        UsageError: If nothing was collected, or a path or a name is wrong.
    """
    given = formats or (",".join(FORMATS) if out else "md")
    chosen = list(dict.fromkeys(form.strip() for form in given.split(",")))
    unknown = sorted(set(chosen) - set(FORMATS))
    if unknown:
        raise UsageError(f"unknown format {', '.join(unknown)}; there are {', '.join(FORMATS)}.")
    if not out and len(chosen) > 1:
        raise UsageError(f"{len(chosen)} formats need a folder to go to: --out DIR.")
    records, problems = _load(paths)
    with input_errors():
        tables = build_tables(records, metrics, seeds, resamples)
    if out:
        with input_errors(OSError):
            files = write_files(out, chosen, tables, records, problems)
        print(f"{_count(records)}, {len(tables)} tables: {', '.join(map(str, files))}")
    else:
        print(render(chosen[0], tables, records, problems), end="")
    _end(problems, strict)


def run_compare(
    first: str,
    second: str,
    paired: bool = False,
    metrics: Sequence[str] = (),
    resamples: int | None = None,
    level: float | None = None,
    seed: int | None = None,
    out: str | None = None,
) -> None:
    """Print two runs side by side; ``out`` gets the unrounded numbers as JSON.

    The draws, ``level`` and ``seed`` are those of the paired bootstrap, see `compare`.

    Raises:
        UsageError: If a run cannot be read, or the two cannot be compared.
    """
    with input_errors():
        runs = find_run(first), find_run(second)
        comparison = compare(*runs, paired, metrics, resamples, level, seed)
    print(comparison_text(comparison))
    if out:
        with input_errors(OSError):
            write_json(out, comparison_dict(comparison))


def run_page(
    paths: Sequence[str],
    out: str,
    title: str = "Leaderboard",
    metrics: Sequence[str] = (),
    seeds: Sequence[int] = (),
    resamples: int = 1000,
    images: int = 6,
    image_mib: float = 16.0,
    strict: bool = False,
) -> None:
    """Write the page of the runs below some folders: one HTML file.

    Args:
        paths: Folders and record files.
        out: The file.
        title: Its headline.
        metrics: See `build_tables`, as the next two.
        seeds: Expected seeds.
        resamples: Draws of the test against the best.
        images: Worst images of each run.
        image_mib: All pictures of the page stay below this size.
        strict: End with an error if a file was skipped.

    Raises:
        UsageError: If nothing was collected, or a path or a name is wrong.
    """
    records, problems = _load(paths)
    with input_errors():
        tables = build_tables(records, metrics, seeds, resamples)
        page = build_page(tables, problems, title, images, int(image_mib * 2**20))
    with input_errors(OSError):
        write_text(out, page.html)
    for note in page.notes:
        print(f"note: {note}", file=sys.stderr)
    size = len(page.html.encode()) / 2**20
    print(f"{out}: {_count(records)}, {len(tables)} tables, {size:.1f} MiB")
    _end(problems, strict)


def run_gate(
    paths: Sequence[str],
    expected: str,
    write: bool = False,
    metrics: Sequence[str] = (),
    tolerance: float | None = None,
) -> None:
    """Check runs against expected results, or write these.

    Raises:
        SystemExit: With status 1 if a run falls below, is missing or was measured differently.
        UsageError: If a file or an argument is wrong.
    """
    if not write and (metrics or tolerance is not None):
        raise UsageError("--metric and --tolerance belong to --write: the file has its own.")
    records, problems = _load(paths, may_be_empty=not write)
    if write and problems:
        raise UsageError(
            f"nothing was written: {len(problems)} files were skipped, and may be the newest "
            "records of their runs. Remove them, or test again."
        )
    runs = latest_runs(records)
    if write:
        with input_errors(OSError):
            margin = 0.01 if tolerance is None else tolerance
            entries = write_expected(expected, runs, metrics, margin)
        print(f"{expected}: {len(entries)} runs")
        return
    with input_errors():
        failures, passed = check(runs, read_expected(expected))
    failures += [f"{p.path}: skipped, may be the newest record of a run" for p in problems]
    for line in passed:
        print(f"ok    {line}")
    for line in failures:
        print(f"FAIL  {line}", file=sys.stderr)
    if failures:
        raise SystemExit(1)


def run_append(paths: Sequence[str], to: str) -> None:
    """Copy the records below some folders into a results folder; none is overwritten.

    Raises:
        UsageError: If nothing was found, or the folder cannot be written.
    """
    records, problems = _load(paths)
    with input_errors(OSError):
        for record in records:
            copy_record(record.path, to)
    print(f"{to}: {_count(records)}")
    _end(problems, strict=False)


def _load(paths: Sequence[str], may_be_empty: bool = False) -> tuple[list[Record], list[Problem]]:
    with input_errors():
        records, problems = load_records(paths)
    for problem in problems:
        print(f"skipped: {problem.reason}", file=sys.stderr)
    if not any(record.metrics for record in records) and not may_be_empty:
        raise UsageError(
            f"no record with metrics below {', '.join(map(str, paths))} ({len(problems)} skipped): "
            "tools/test.py writes record.json into the run folder."
        )
    return records, problems


def _count(records: Sequence[Record]) -> str:
    return f"{len(records)} record{'s' * (len(records) != 1)}"


def _end(problems: Sequence[Problem], strict: bool) -> None:
    if problems and strict:
        raise UsageError(f"{len(problems)} files were skipped (--strict).")
