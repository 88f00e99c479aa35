"""Running a sweep's runs: with a stand-in for the training, whose seed says how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.sweep import task
from attnseg.apis.sweep.claim import claim
from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.run import Runner
from attnseg.apis.sweep.state import LOG, state_of
from attnseg.apis.sweep.task import read_task, run_task, write_task

# Ends as the seed says: 0 well, 1 with an error, 2 by its own signal, 3 only when it is asked,
# 4 as Slurm told it to.
TOOL = """
import json, os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[2])
task = json.loads((folder / "run.json").read_text())
state = {"state": "running", "host": "here", "pid": os.getpid()}
write = lambda **more: (folder / "state.json").write_text(json.dumps({**state, **more}))
with open(folder.parent / "order.txt", "a") as file:
    file.write(f"{task['seed']}\\n")
seed = task["seed"] % 10
write()
if seed == 1:
    print("RuntimeError: it broke", file=sys.stderr)
    write(state="ended", status=1)
    sys.exit(1)
if seed == 2:
    os.kill(os.getpid(), signal.SIGKILL)
if seed == 3:
    def stop(*_):
        write(state="ended", status=75)
        sys.exit(75)
    signal.signal(signal.SIGTERM, stop)
    (folder / "ready").touch()
    time.sleep(60)
if seed == 4:
    write(state="ended", status=75)
    sys.exit(75)
out = folder / "20260101_000000"
out.mkdir()
record = {"mode": "train", "config": {"hash": "a"}, "seed": task["seed"], "iter": 10}
(out / "record.json").write_text(json.dumps(record))
write(state="ended", status=0)
"""


def _run(folder: Path, seed: int) -> Run:
    return Run(
        labels=("A",),
        seed=seed,
        config=Path("leaf.py"),
        folder=folder / f"A-s{seed}-0000",
        content="c",
        config_hash="a",
        unit="max_iters",
        steps=10,
        arguments=("leaf.py", "--seed", str(seed)),
    )


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "tool.py"
    path.write_text(TOOL)
    return path


def _order(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "order.txt").read_text().split()]


def test_a_failure_stops_nobody_else_and_what_is_done_is_not_done_again(
    tmp_path: Path, tool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [_run(tmp_path, seed) for seed in (0, 1, 2, 10)]
    assert Runner(tool).run(runs) == 1
    assert [state_of(run).name for run in runs] == ["done", "failed", "failed", "done"]
    assert state_of(runs[1]).detail == "RuntimeError: it broke"
    assert state_of(runs[2]).detail == "killed by SIGKILL"
    assert "failed: A-s1-0000: RuntimeError: it broke" in capsys.readouterr().err
    assert Runner(tool, jobs=2).run(runs) == 1
    assert sorted(_order(tmp_path)[4:]) == [1, 2]
    assert Runner(tool).run(runs[:1]) == 0


def test_runs_that_are_left_over_are_no_success(tmp_path: Path, tool: Path) -> None:
    stopped, done, failed = (_run(tmp_path, seed) for seed in (4, 0, 1))
    assert Runner(tool).run([stopped, done]) == 75
    assert Runner(tool).run([stopped, failed]) == 1
    with claim(done.folder.with_name("elsewhere")):
        elsewhere = replace(done, folder=done.folder.with_name("elsewhere"))
        assert Runner(tool).run([elsewhere, done]) == 75
    assert Runner(tool).run([done]) == 0


def test_fail_fast_starts_no_more(tmp_path: Path, tool: Path) -> None:
    runs = [_run(tmp_path, seed) for seed in (1, 0)]
    assert Runner(tool, fail_fast=True).run(runs) == 1
    assert _order(tmp_path) == [1]
    assert state_of(runs[1]).name == "waiting"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_has_the_training_save_and_starts_no_more(
    tmp_path: Path, tool: Path, number: int, status: int
) -> None:
    runs = [_run(tmp_path, seed) for seed in (3, 0)]
    command = (
        "import sys; from pathlib import Path; from tests.apis.sweep.test_run import _run;"
        "from attnseg.apis.sweep.run import Runner;"
        "folder = Path(sys.argv[1]); runs = [_run(folder, seed) for seed in (3, 0)];"
        "sys.exit(Runner(folder / 'tool.py').run(runs))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", command, str(tmp_path)], env=environment)
    end = time.monotonic() + 60
    while not (runs[0].folder / "ready").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(30) == status
    assert [state_of(run).name for run in runs] == ["interrupted", "waiting"]


def test_a_task_tells_how_its_training_ended(tmp_path: Path) -> None:
    run = _run(tmp_path, 0)
    with pytest.raises(UsageError, match="is no run of a sweep"):
        read_task(tmp_path)
    write_task(run)
    assert read_task(run.folder) == (run, os.getcwd())
    script = tmp_path / "train.py"
    script.write_text("import sys\nprint(sys.argv[1:])\nraise ValueError('two\\nlines')\n")
    command = (
        "import sys; from pathlib import Path; from attnseg.apis.sweep.task import run_task;"
        "sys.exit(run_task(sys.argv[1], Path(sys.argv[2])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, str(run.folder), str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert state_of(run).detail == "ValueError: two lines"
    log = (run.folder / LOG).read_text()
    assert "['leaf.py', '--seed', '0']" in log and "Traceback" in log
    assert "train.py leaf.py --seed 0" in log


def test_a_task_of_a_finished_run_ends_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path, 0)
    write_task(run)
    record = {"mode": "train", "config": {"hash": "a"}, "seed": 0, "iter": 10}
    (run.folder / "t").mkdir()
    (run.folder / "t" / "record.json").write_text(json.dumps(record))
    assert run_task(run.folder, tmp_path / "no-such-script.py") == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize(("job", "claimed"), [("7", True), ("8", False)])
def test_other_processes_of_a_job_wait_for_its_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, claimed: bool
) -> None:
    script = tmp_path / "train.py"
    script.write_text("import sys\nsys.exit(75)\n")
    run = _run(tmp_path, 0)
    write_task(run)
    state = {"state": "running", "host": "elsewhere", "pid": 1, "born": 1, "job": "7"}
    (run.folder / "state.json").write_text(json.dumps(state))
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setattr(task, "_PATIENCE", 0.1)
    monkeypatch.setattr(task, "_redirect", lambda log: None)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "orig_argv", [])
    assert run_task(run.folder, script, "slurm") == (75 if claimed else 0)
    # Only the first one says how the run ended.
    assert json.loads((run.folder / "state.json").read_text()) == state
