"""States of runs, and the lock that keeps two processes apart."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from attnseg.apis.sweep import claim as claims
from attnseg.apis.sweep.claim import STATE, Taken, claim, is_alive, read_state
from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.state import LOG, START, State, counts, last_error, state_of

HOLD = """
import sys, time
from pathlib import Path
from attnseg.apis.sweep.claim import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(
        labels=("U-Net",),
        seed=1,
        config=Path("leaf.py"),
        folder=tmp_path / "U-Net-s1-0000",
        content="0" * 64,
        config_hash="a" * 64,
        unit="max_iters",
        steps=10,
        arguments=("leaf.py",),
    )


def _record(run: Run, name: str = "20260101_000000/record.json", **changes: Any) -> Path:
    content = {"mode": "train", "config": {"hash": "a" * 64}, "seed": 1, "iter": 10, "epoch": 0}
    path = run.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | changes))
    return path


def _left(run: Run, **content: Any) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / STATE).write_text(json.dumps(content))


def test_a_whole_training_of_this_content_is_done(run: Run) -> None:
    assert state_of(run) == State("waiting")
    path = _record(run)
    assert state_of(run) == State("done", record=path)
    # Whatever a later attempt left behind.
    _left(run, state="ended", status=1)
    assert state_of(run).name == "done"


def test_a_training_that_ended_early_is_done(run: Run) -> None:
    path = _record(run, iter=3)
    assert state_of(run) == State("done", record=path)


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "test"},
        {"config": {"hash": "b" * 64}},
        {"config": None},
        {"seed": 0},
    ],
)
def test_records_of_something_else_do_not_count(run: Run, changes: dict[str, Any]) -> None:
    _record(run, **changes)
    assert state_of(run).name == "waiting"
    (run.folder / "20260101_000000" / "record.json").write_text("{")
    assert state_of(run).name == "waiting"


def test_failures_are_told_by_their_last_error_line(run: Run) -> None:
    _left(run, state="ended", status=2)
    assert state_of(run) == State("failed", "exit status 2")
    log = run.folder / LOG
    log.write_text(f"{START}first\nValueError: old\n{START}second\nerror: no data\rstep 3\nbye\n")
    assert state_of(run) == State("failed", "error: no data")
    _left(run, state="ended", status=1, error="RuntimeError: NaN")
    assert state_of(run) == State("failed", "RuntimeError: NaN")
    _left(run, state="ended", status=0)
    assert state_of(run).name == "failed"


def test_only_the_last_attempt_of_a_log_counts(tmp_path: Path) -> None:
    log = tmp_path / LOG
    assert last_error(log) == ""
    log.write_text(f"{START}first\nValueError: old\n{START}second\n  all well\n")
    assert last_error(log) == "all well"
    log.write_text("x" * 200_000 + "\ntorch.OutOfMemoryError: 3 GiB\n  at exit\n")
    assert last_error(log) == "torch.OutOfMemoryError: 3 GiB"


@pytest.mark.parametrize("status", [75, 143, 130, -15, -2])
def test_what_was_stopped_can_go_on(run: Run, status: int) -> None:
    _left(run, state="ended", status=status)
    assert state_of(run).name == "interrupted"


def test_slurm_tells_of_what_waits_in_its_queue(run: Run) -> None:
    assert state_of(run, {run.folder: "PENDING"}).name == "queued"
    assert state_of(run, {run.folder: "RUNNING"}).name == "running"
    assert state_of(run, {run.folder: "NODE_FAIL"}).name == "failed"
    assert state_of(run, {run.folder: "COMPLETED"}).name == "waiting"


def test_counts_name_each_state() -> None:
    states = [State("failed"), State("done"), State("failed")]
    assert counts(states) == "1 done, 2 failed"


@pytest.fixture
def holder(run: Run) -> Any:
    """Another process that holds the run."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_lock_ends_with_its_process_however_it_ends(
    run: Run, holder: "subprocess.Popen[str]"
) -> None:
    assert state_of(run).name == "running"
    assert str(holder.pid) in state_of(run).detail
    with pytest.raises(Taken, match=f"process {holder.pid}"), claim(run.folder):
        pass
    assert read_state(run.folder)["pid"] == holder.pid
    holder.kill()
    holder.wait()
    assert state_of(run).name == "interrupted"
    with claim(run.folder) as state:
        state["status"] = 0
        assert read_state(run.folder)["pid"] == os.getpid()
    assert read_state(run.folder)["state"] == "ended"


def test_a_process_that_took_over_a_number_is_not_the_old_one(run: Run) -> None:
    with claim(run.folder):
        state = read_state(run.folder)
        assert is_alive(run.folder, state)
        assert not is_alive(run.folder, state | {"born": state["born"] - 1})


def test_another_machine_is_believed_while_it_gives_signs_of_life(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _left(run, state="running", host="elsewhere", pid=1, born=1, job="77")
    assert "elsewhere, process 1, Slurm job 77" in state_of(run).detail
    with pytest.raises(Taken), claim(run.folder):
        pass
    # A job that Slurm starts again on another node is the same one.
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    with claim(run.folder):
        pass
    monkeypatch.delenv("SLURM_JOB_ID")
    _left(run, state="running", host="elsewhere", pid=1, born=1)
    old = time.time() - 2 * claims.SILENCE
    os.utime(run.folder / STATE, (old, old))
    assert "no sign of life from elsewhere" in state_of(run).detail
    with claim(run.folder):
        pass


def test_a_holder_gives_signs_of_life(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    with claim(run.folder):
        os.utime(run.folder / STATE, (0, 0))
        end = time.monotonic() + 10
        while claims.silence(run.folder) > claims.SILENCE and time.monotonic() < end:
            time.sleep(0.02)
        assert claims.silence(run.folder) < claims.SILENCE
