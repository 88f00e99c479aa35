"""Who is working on a run folder: a lock that ends with its process, and a sign of life.

``run.lock`` is locked with POSIX record locks, which the system gives back when the process ends,
however it ends, and which network file systems pass on between machines. Where one does not, the
sign of life in ``state.json`` keeps a second machine away.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attnseg._atomic import write_json
from attnseg.file_lock import try_lock

LOCK, STATE = "run.lock", "state.json"
BEAT, SILENCE = 20.0, 300.0
"""Seconds between two signs of life, and after how many without one a process counts as gone."""


class Taken(Exception):
    """Another process works on the run; the message says where."""


@contextmanager
def claim(folder: Path, **facts: Any) -> Iterator[dict[str, Any]]:
    """Hold a run folder for this process, and leave word of it in ``state.json``.

    Args:
        folder: Of the run; made where it is missing.
        facts: What else ``state.json`` gets.

    Yields:
        What ``state.json`` gets at the end: put ``status``, ``error`` and so on there.

    Raises:
        Taken: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with try_lock(folder / LOCK) as free:
        before = read_state(folder)
        if not free:
            raise Taken(f"{folder.name} is {whereabouts(before)}")
        # The sign of life alone tells where the file system knows no locks.
        if not _own(before) and is_alive(folder, before):
            raise Taken(f"{folder.name} is {whereabouts(before)}")
        state = {
            "state": "running",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
            "job": os.environ.get("SLURM_JOB_ID"),
            "started": _now(),
            **facts,
        }
        write_json(folder / STATE, state)
        over = threading.Event()
        beat = threading.Thread(target=_beat, args=(folder / STATE, over), daemon=True)
        beat.start()
        try:
            yield state
        finally:
            over.set()
            beat.join(5)
            write_json(folder / STATE, {**state, "state": "ended", "ended": _now()})


def read_state(folder: Path) -> dict[str, Any]:
    """Content of ``state.json``; empty if there is none or it is damaged."""
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_alive(folder: Path, state: Mapping[str, Any]) -> bool:
    """Whether the process that ``state.json`` names is at work.

    Of this machine the process itself tells; of another one its sign of life, by the clock of the
    file system.
    """
    if state.get("state") != "running":
        return False
    if state.get("host") == socket.gethostname():
        return _born(state.get("pid")) == state.get("born") is not None
    return silence(folder) < SILENCE


def silence(folder: Path) -> float:
    """Seconds since the last sign of life, by the file system's clock."""
    probe = folder / f".clock-{os.getpid()}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
    except OSError:
        # A folder of somebody else: the two clocks have to agree.
        now = time.time()
    try:
        return max(0.0, now - (folder / STATE).stat().st_mtime)
    except OSError:
        return float("inf")


def whereabouts(state: Mapping[str, Any]) -> str:
    """Where a run is at work, in words."""
    job = f", Slurm job {state['job']}" if state.get("job") else ""
    return f"running on {state.get('host', 'another machine')}, process {state.get('pid')}{job}"


def _own(state: Mapping[str, Any]) -> bool:
    """Whether an earlier part of this very process or Slurm job, requeued elsewhere, left it."""
    job = os.environ.get("SLURM_JOB_ID")
    return state.get("pid") == os.getpid() or (job is not None and state.get("job") == job)


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(BEAT):
        try:
            os.utime(path)
        except OSError:
            continue


def _born(pid: Any) -> int | None:
    """When a process started, so that a later one with its number is not taken for it."""
    if not isinstance(pid, int):
        return None
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None if Path("/proc/self").exists() else _exists(pid)
    fields = text.rpartition(")")[2].split()
    # A zombie has ended, though its parent has not asked yet.
    return None if fields[0] == "Z" else int(fields[19])


def _exists(pid: int) -> int | None:
    """Without ``/proc``: whether there is such a process."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return 1
    except OSError:
        return None
    return 1


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
