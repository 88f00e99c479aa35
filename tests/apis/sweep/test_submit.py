"""Submitting a sweep: what Slurm is given, and what it is asked; with a stand-in for Slurm."""

import os
import subprocess
import types
from pathlib import Path
from typing import Any

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.slurm import SlurmJob
from attnseg.apis.sweep import submit
from attnseg.apis.sweep.commands import run_status, run_submit
from attnseg.apis.sweep.plan import Run, plan_runs
from attnseg.apis.sweep.sweep_file import read_sweep
from tests.apis.sweep.factory import write_sweep

TOOL = Path("/tools/sweep.py")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Slurm's side: the jobs that it got, and the states that it tells."""
    side = types.SimpleNamespace(jobs=[], states={})

    def send(job: SlurmJob) -> str:
        side.jobs.append(job)
        return str(100 + len(side.jobs))

    monkeypatch.setattr(submit, "submit", send)
    monkeypatch.setattr(submit, "job_states", lambda job: side.states.get(job, {}))
    return side


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path, axes=None, seeds=[0, 1, 2])


def _submit(sweep: Path, **options: Any) -> None:
    run_submit(str(sweep), False, str(sweep.parent / "out"), None, TOOL, **options)


def _runs(sweep: Path) -> list[Run]:
    return plan_runs(read_sweep(sweep), sweep.parent / "out")


def test_each_array_task_runs_its_own_line(sweep: Path, slurm: types.SimpleNamespace) -> None:
    _submit(
        sweep, partition="gpu", nodes=2, gpus_per_node=4, max_parallel=2, sbatch=["--constraint=a"]
    )
    (job,) = slurm.jobs
    assert (job.name, job.array, job.partition) == ("table", "0-2%2", "gpu")
    assert job.extra == ("--constraint=a",)
    assert (job.nodes, job.gpus_per_node, job.tasks_per_node) == (2, 4, 4)
    lines = (job.folder / "commands.txt").read_text().splitlines()
    assert len(lines) == 3
    for line, run in zip(lines, _runs(sweep), strict=True):
        assert line.endswith(f"/tools/sweep.py task {run.folder} --launcher slurm")
        assert (run.folder / "run.json").is_file()
    (job.folder / "commands.txt").write_text("echo zero\necho 'one  and a half'\n")
    shown = subprocess.run(
        ["bash", "-c", job.command],
        env={**os.environ, "SLURM_ARRAY_TASK_ID": "1"},
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "one  and a half\n"


def test_a_single_process_needs_no_launcher(sweep: Path, slurm: types.SimpleNamespace) -> None:
    _submit(sweep)
    assert "--launcher none" in (slurm.jobs[0].folder / "commands.txt").read_text()


def test_what_waits_in_slurm_is_not_sent_again(
    sweep: Path, slurm: types.SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    _submit(sweep)
    slurm.states["101"] = {"101_0": "PENDING", "101_1": "RUNNING", "101_2": "FAILED"}
    run_status(str(sweep), False, str(sweep.parent / "out"), None)
    assert "1 running, 1 queued, 1 failed" in capsys.readouterr().out
    _submit(sweep)
    assert slurm.jobs[1].array == "0-0"
    line = (slurm.jobs[1].folder / "commands.txt").read_text()
    assert str(_runs(sweep)[2].folder) in line
    # The lines of the first array are still its own.
    assert len((slurm.jobs[0].folder / "commands.txt").read_text().splitlines()) == 3
    slurm.states["102"] = {"102_0": "PENDING"}
    _submit(sweep)
    assert len(slurm.jobs) == 2 and "nothing to submit" in capsys.readouterr().out


def test_a_dry_run_writes_and_sends_nothing(
    sweep: Path, slurm: types.SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    _submit(sweep, dry_run=True)
    text = capsys.readouterr().out
    assert "#SBATCH --array=0-2" in text and text.count("sweep.py task ") == 3
    assert not slurm.jobs and not (sweep.parent / "out").exists()
    with pytest.raises(UsageError, match="--max-parallel: expected at least 1"):
        _submit(sweep, max_parallel=0)
