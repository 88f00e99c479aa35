"""Locks between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from attnseg import file_lock
from attnseg.file_lock import try_lock

HOLD = """
import sys, time
from attnseg.file_lock import try_lock
with try_lock(sys.argv[1]) as free:
    print(free, flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_also_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "True\n"
        with try_lock(path) as free:
            assert not free
        other.kill()
    with try_lock(path) as free:
        assert free


def test_a_file_system_without_locks_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(file_lock.fcntl, "lockf", refuse)
    with try_lock(tmp_path / "lock") as free:
        assert free


def test_errors_inside_pass_through(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), try_lock(tmp_path / "lock"):
        raise OSError("mine")
