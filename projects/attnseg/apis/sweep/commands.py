"""The commands of ``tools/sweep.py``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError, input_errors
from attnseg.apis.slurm import script_text
from attnseg.apis.sweep.plan import Run, plan_runs, sweep_folder
from attnseg.apis.sweep.run import Runner
from attnseg.apis.sweep.state import State, counts, finished_record, state_of
from attnseg.apis.sweep.submit import (
    COMMANDS,
    array_job,
    missing,
    slurm_queue,
    submission_folder,
    submit_runs,
)
from attnseg.apis.sweep.sweep_file import Sweep, read_sweep
from attnseg.apis.sweep.table import sweep_table, write_table
from attnseg.apis.sweep.task import run_task
from attnseg.leaderboard.cells_text import cells_markdown
from attnseg.leaderboard.text import columns_of_text


def run_plan(sweep: str, small: bool, out: str | None, data_dir: str | None) -> None:
    """Print the runs of a sweep: labels, seed, config, folder and state."""
    content, runs = _planned(sweep, small, out, data_dir)
    folder, once = sweep_folder(content, out), _once(runs)
    states = dict(zip([run.folder for run in once], _states(folder, once), strict=True))
    header = [*(axis.name for axis in content.axes), "seed", "config", "folder", "state"]
    seen: set[Path] = set()
    lines = []
    for run in runs:
        note = " (shared)" if run.folder in seen else ""
        seen.add(run.folder)
        state = f"{states[run.folder].name}{note}"
        lines.append([*run.labels, str(run.seed), run.config.stem, run.name, state])
    print(columns_of_text([header, *lines]))
    print(f"\n{_title(content)}: {_count(len(seen))} in {folder}")
    print(f"{counts(states.values())}.")


def run_runs(
    sweep: str,
    small: bool,
    out: str | None,
    data_dir: str | None,
    tool: Path,
    jobs: int = 1,
    fail_fast: bool = False,
) -> None:
    """Train the missing runs here.

    Raises:
        SystemExit: With the status of :meth:`Runner.run` unless it is 0.
        UsageError: If the sweep cannot be planned, or ``jobs`` is not positive.
    """
    if jobs < 1:
        raise UsageError(f"--jobs: expected at least 1, got {jobs}.")
    _, runs = _planned(sweep, small, out, data_dir)
    status = Runner(tool, jobs, fail_fast).run(_once(runs))
    print(f"{counts(state_of(run) for run in _once(runs))}.")
    if status:
        raise SystemExit(status)


def run_submit(
    sweep: str,
    small: bool,
    out: str | None,
    data_dir: str | None,
    tool: Path,
    dry_run: bool = False,
    **options: Any,
) -> None:
    """Send the missing runs to Slurm as one array, or print its script.

    Args:
        sweep: See ``find_sweep``.
        small: Whether the small form is meant.
        out: Parent of the sweep's folder.
        data_dir: Takes the place of the leading ``data/``.
        tool: ``tools/sweep.py``.
        dry_run: Print, and write and send nothing.
        options: See ``array_job``.

    Raises:
        UsageError: If the sweep cannot be planned, or Slurm is missing or refuses.
    """
    content, runs = _planned(sweep, small, out, data_dir)
    folder, runs = sweep_folder(content, out), _once(runs)
    left = missing(runs, _states(folder, runs))
    if not left:
        print("nothing to submit: each run is finished, at work or in the queue.")
    elif dry_run:
        job, lines = array_job(content.name, submission_folder(folder), left, tool, **options)
        print(f"{script_text(job)}\n# {COMMANDS}:\n{lines}", end="")
    else:
        number, place = submit_runs(content.name, folder, left, tool, **options)
        print(f"Slurm job {number}: {_count(len(left))}, commands in {place / COMMANDS}")


def run_status(
    sweep: str, small: bool, out: str | None, data_dir: str | None, as_json: bool = False
) -> None:
    """Print what became of each run."""
    content, runs = _planned(sweep, small, out, data_dir)
    runs = _once(runs)
    states = _states(sweep_folder(content, out), runs)
    if as_json:
        print(json.dumps([_as_dict(*pair) for pair in zip(runs, states, strict=True)], indent=2))
        return
    for run, state in zip(runs, states, strict=True):
        print(f"{state.name:11} {run.name}{f': {state.detail}' if state.detail else ''}")
    print(f"{_count(len(runs))}: {counts(states)}.")


def run_table(
    sweep: str, small: bool, out: str | None, data_dir: str | None, to: str | None = None
) -> None:
    """Print the table of the finished runs as Markdown, and write it with its page.

    Args:
        sweep: See ``find_sweep``.
        small: Whether the small form is meant.
        out: Parent of the sweep's folder.
        data_dir: As it was given to the runs.
        to: Folder of the files; by default the sweep's.

    Raises:
        UsageError: If the sweep cannot be planned, or the folder cannot be written.
    """
    content, runs = _planned(sweep, small, out, data_dir)
    table = sweep_table(content, runs, [state_of(run) for run in runs])
    print(cells_markdown(table), end="")
    with input_errors(OSError):
        files = write_table(table, Path(to) if to else sweep_folder(content, out))
    print(f"written: {', '.join(map(str, files))}", file=sys.stderr)


def run_one(folder: str, script: Path, launcher: str) -> None:
    """Train one run that ``run`` or ``submit`` prepared.

    Raises:
        SystemExit: With the training's exit status unless it is 0.
    """
    status = run_task(folder, script, launcher)
    if status:
        raise SystemExit(status)


def _planned(
    sweep: str, small: bool, out: str | None, data_dir: str | None
) -> tuple[Sweep, list[Run]]:
    content = read_sweep(sweep, small)
    return content, plan_runs(content, out, data_dir)


def _states(folder: Path, runs: Sequence[Run]) -> list[State]:
    """States, of which Slurm is asked where it was given a run that is not finished."""
    open_runs = [run.folder for run in runs if finished_record(run) is None]
    queue = slurm_queue(folder, open_runs)
    return [state_of(run, queue) for run in runs]


def _once(runs: Sequence[Run]) -> list[Run]:
    """Cells that are the same experiment share a run."""
    return list({run.folder: run for run in runs}.values())


def _title(sweep: Sweep) -> str:
    return f"{sweep.title} (small form)" if sweep.small else sweep.title


def _count(number: int) -> str:
    return f"{number} run{'s' * (number != 1)}"


def _as_dict(run: Run, state: State) -> dict[str, Any]:
    return {
        "labels": run.labels,
        "seed": run.seed,
        "state": state.name,
        "detail": state.detail,
        "folder": str(run.folder),
        "config": str(run.config),
        "record": str(state.record) if state.record else None,
    }
