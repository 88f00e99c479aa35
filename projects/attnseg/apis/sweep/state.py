"""What became of each run of a sweep."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from attnseg.apis.resume import complete_record
from attnseg.apis.sweep.claim import is_alive, read_state, silence, whereabouts
from attnseg.apis.sweep.plan import Run
from attnseg.engine.signals import EXIT_STATUS

LOG = "log.txt"
STATES = ("done", "running", "queued", "interrupted", "failed", "waiting")
START = "=== "
"""In front of the line of a log with which an attempt begins."""
_STOPPED = (EXIT_STATUS, 130, 143, -2, -15)
_TAIL = 64 * 1024
_ERROR = re.compile(r"error: .+|(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)\b.*")


class State(NamedTuple):
    """A run's state.

    Attributes:
        name: One of ``STATES``.
        detail: Where it runs, or how it failed; empty if there is nothing to say.
        record: Record of the finished training.
    """

    name: str
    detail: str = ""
    record: Path | None = None


def state_of(run: Run, queue: Mapping[Path, str] | None = None) -> State:
    """Find out from the run's folder what became of it.

    Args:
        run: Of the plan.
        queue: Run folder -> Slurm's word for its array task, of those that Slurm knows.
    """
    record = finished_record(run)
    if record is not None:
        return State("done", record=record)
    state, slurm = read_state(run.folder), (queue or {}).get(run.folder, "")
    if is_alive(run.folder, state):
        return State("running", whereabouts(state).removeprefix("running "))
    if slurm in ("PENDING", "REQUEUED", "SUSPENDED", "CONFIGURING", "REQUEUE_HOLD"):
        return State("queued", f"in Slurm: {slurm}")
    if slurm in ("RUNNING", "COMPLETING"):
        return State("running", "in Slurm")
    if not state:
        return _never_begun(run, slurm)
    if state.get("state") == "running":
        quiet = silence(run.folder)
        ago = f"no sign of life from {state.get('host')} for {quiet / 60:.0f} min"
        return State("interrupted", f"the process is gone; {ago}")
    status = state.get("status")
    if status in _STOPPED:
        word = "preempted" if status == EXIT_STATUS else "stopped"
        return State("interrupted", f"{word}; start again to go on")
    if status == 0:
        return State("failed", "ended without a record of a whole training")
    error = state.get("error") or last_error(run.folder / LOG) or f"exit status {status}"
    return State("failed", str(error))


def finished_record(run: Run) -> Path | None:
    """The record of the run's complete training."""
    return complete_record(run.folder, run.config_hash, run.seed)


def _never_begun(run: Run, slurm: str) -> State:
    if slurm not in ("", "COMPLETED", "CANCELLED"):
        return State("failed", f"Slurm: {slurm}, before the run could begin")
    if any(run.folder.glob("*.pth")):
        return State("interrupted", "a checkpoint is there")
    return State("waiting")


def last_error(log: Path) -> str:
    """What the last attempt in a log says of its error, else its last line; empty without one."""
    text = tail(log).rpartition(f"\n{START}")[2]
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    errors = [line for line in lines if _ERROR.fullmatch(line)]
    return (errors or lines or [""])[-1]


def tail(path: Path) -> str:
    """The last 64 KiB of a text file; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def counts(states: Iterable[State]) -> str:
    """How many runs are in each state, in words."""
    names = [state.name for state in states]
    return ", ".join(f"{names.count(name)} {name}" for name in STATES if name in names)
