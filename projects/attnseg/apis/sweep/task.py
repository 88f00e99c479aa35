"""One run of a sweep: what ``run`` starts as a process and Slurm as an array task."""

import json
import os
import runpy
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attnseg._atomic import write_json
from attnseg.apis.command import UsageError
from attnseg.apis.sweep.claim import Taken, claim, read_state
from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.state import LOG, START, state_of

RUN = "run.json"
_PATIENCE = 120.0


def write_task(run: Run) -> Path:
    """Leave in the run folder what :func:`run_task` needs; returns the file."""
    content = {
        "labels": run.labels,
        "seed": run.seed,
        "config": run.config,
        "content": run.content,
        "config_hash": run.config_hash,
        "unit": run.unit,
        "steps": run.steps,
        "arguments": run.arguments,
        "directory": os.getcwd(),
    }
    write_json(run.folder / RUN, content)
    return run.folder / RUN


def read_task(folder: str | Path) -> tuple[Run, str]:
    """A run from its folder, and the directory that its relative paths start from.

    Raises:
        UsageError: The folder is no run of a sweep, or its file is damaged.
    """
    file = Path(folder).absolute() / RUN
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        run = Run(
            labels=tuple(found["labels"]),
            seed=found["seed"],
            config=Path(found["config"]),
            folder=file.parent,
            content=found["content"],
            config_hash=found["config_hash"],
            unit=found["unit"],
            steps=found["steps"],
            arguments=tuple(found["arguments"]),
        )
        return run, found["directory"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{file} is no run of a sweep ({error}): start it with run or submit."
        ) from error


def run_task(folder: str | Path, script: Path, launcher: str = "none") -> int:
    """Train a run in this process, unless it is finished or another process has it.

    Output goes to ``log.txt`` in the run folder.

    Args:
        folder: Of the run, prepared by :func:`write_task`.
        script: ``tools/train.py``.
        launcher: See ``LAUNCHERS``; with slurm, the first process claims the run for all.

    Returns:
        Exit status.
    """
    run, directory = read_task(folder)
    if state_of(run).name == "done":
        print(f"{run.name} is finished.")
        return 0
    rank = int(os.environ.get("SLURM_PROCID", "0")) if launcher == "slurm" else 0
    words = [*run.arguments, "--launcher", launcher] if launcher != "none" else run.arguments
    os.chdir(directory)
    if rank:
        if not _claimed_by_first(run):
            print(f"{run.name} is taken by another process.")
            return 0
        _redirect(run.folder / f"log-rank{rank}.txt")
        return _call(script, words)[0]
    try:
        with claim(run.folder) as state:
            print(f"{run.name}: output in {run.folder / LOG}", flush=True)
            _redirect(run.folder / LOG)
            # What a kill leaves behind says so, and no more.
            state["status"], state["error"] = _call(script, words)
            return state["status"]
    except Taken as taken:
        print(taken)
        return 0


def _claimed_by_first(run: Run) -> bool:
    """Wait for the first process of this job; False if another job has the run."""
    job, end = os.environ.get("SLURM_JOB_ID"), time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        state = read_state(run.folder)
        if state.get("state") == "running" and state.get("job") == job:
            return True
        time.sleep(0.5)
    return False


def _redirect(log: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _call(script: Path, words: Sequence[str]) -> tuple[int, str | None]:
    """Run a Python script as if it had been started; its exit status, and what it raised."""
    sys.argv = [str(script), *words]
    # The record names the command that gives the run without the sweep.
    sys.orig_argv = [sys.executable, *sys.argv]
    print(f"\n{START}{datetime.now():%Y-%m-%d %H:%M:%S} {shlex.join(sys.argv)}", flush=True)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return _status(end.code), None
    except KeyboardInterrupt:
        return 130, None
    except BaseException as error:
        _report(error)
        return 1, " ".join(f"{type(error).__name__}: {error}".split())
    return 0, None


def _status(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    print(code, file=sys.stderr)
    return 1


def _report(error: BaseException) -> None:
    hook: Callable[..., Any] = sys.excepthook
    hook(type(error), error, error.__traceback__)
