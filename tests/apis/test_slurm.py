"""The batch script as text, and what needs no Slurm; tests/slurm has the rest."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnseg.apis import slurm
from attnseg.apis.command import UsageError
from attnseg.apis.slurm import SlurmJob, job_states, script_text, submit

JOB = SlurmJob(name="a job", command="train.py 'a b'", folder=Path("/runs/it's 5%"))


def test_options_are_quoted_and_left_out_where_not_given() -> None:
    lines = script_text(JOB).splitlines()
    options = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert options == [
        "--job-name='a job'",
        "--output='/runs/it'\"'\"'s 5%%/slurm-%j.out'",
        "--open-mode=append",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--signal=USR1@120",
        "--requeue",
    ]
    job = replace(JOB, gpus_per_node=8, tasks_per_node=8, memory="64G", grace=30, array="0-3%2")
    text = script_text(replace(job, extra=("--exclusive", "--comment=a b"), cpus_per_task=4))
    for line in ("--gpus-per-node=8", "--mem=64G", "--signal=USR1@30", "--array=0-3%2"):
        assert f"#SBATCH {line}\n" in text
    assert "#SBATCH --exclusive\n#SBATCH --comment='a b'\n" in text
    assert "/slurm-%A_%a.out'" in text and "srun --kill-on-bad-exit=1 --cpus-per-task=4 " in text


@pytest.mark.parametrize("requeue", [True, False])
def test_the_script_is_bash_and_requeues_only_if_asked(requeue: bool) -> None:
    text = script_text(replace(JOB, requeue=requeue, max_restarts=7))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert ("scontrol requeue" in text) == requeue == ("-le 7 ]" in text)
    assert text.endswith("exit $status\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": 0}, "nodes is 0: at least 1"),
        ({"cpus_per_task": 0}, "cpus-per-task is 0"),
        ({"gpus_per_node": -1}, "gpus-per-node is -1: at least 0"),
        ({"folder": Path("runs")}, "folder runs of the job is relative"),
        ({"extra": ("constraint=a100",)}, "'constraint=a100' is no option of sbatch"),
        ({"name": "a\nb"}, "line break"),
    ],
)
def test_jobs_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        script_text(replace(JOB, **change))


def test_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sbatch not found.*--dry-run"):
        submit(replace(JOB, folder=tmp_path / "run"))
    assert not (tmp_path / "run").exists() and job_states("1") == {}


def test_states_of_tasks_that_wait_together_and_of_forgotten_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = {
        "sacct": ["17_0|COMPLETED", "17_1|CANCELLED by 5", "17_[2-4,8%2]|PENDING"],
        "scontrol": [
            "JobId=19 ArrayJobId=17 ArrayTaskId=2 JobName=a JobState=RUNNING",
            "JobId=17 ArrayJobId=17 ArrayTaskId=3-4,8%2 JobName=a JobState=PENDING",
        ],
    }
    monkeypatch.setattr(slurm, "_answer", lambda program, *_: answers[program])
    assert job_states("17") == {
        "17_0": "COMPLETED",
        "17_1": "CANCELLED",
        "17_2": "RUNNING",
        "17_3": "PENDING",
        "17_4": "PENDING",
        "17_8": "PENDING",
    }
