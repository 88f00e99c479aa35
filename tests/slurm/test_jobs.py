"""Jobs that Slurm stops, and what becomes of them: on a real Slurm, with programs of a line."""

import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.slurm import SlurmJob, job_states, script_text, submit
from attnseg.engine.provenance import command as this_command
from tests.slurm.cluster import Cluster

# Each start leaves a line; then the program does what the test wants, in rank 0 or all.
PROGRAM = """
import os, signal, sys, time
rank, start = int(os.environ["SLURM_PROCID"]), int(os.environ.get("SLURM_RESTART_COUNT", "0"))
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit(75))
print("rank", rank, "start", start, flush=True)
"""


@pytest.fixture
def job(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmJob:
    """A job of two tasks on two nodes, in a folder with an awkward name."""
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.env[name])
    folder = tmp_path / "it's 100% a folder"
    folder.mkdir()
    return SlurmJob(name="a 'job'", command="true", folder=folder, nodes=2)


def program(lines: str) -> str:
    return shlex.join([sys.executable, "-c", PROGRAM + lines])


def output(job: SlurmJob, number: str) -> str:
    return (job.folder / f"slurm-{number}.out").read_text()


def until_written(job: SlurmJob, number: str, text: str, count: int = 2) -> None:
    """Wait for a text in the output, from each task."""
    end = time.monotonic() + 30
    file = job.folder / f"slurm-{number}.out"
    while not file.exists() or file.read_text().count(text) < count:
        assert time.monotonic() < end, file.read_text() if file.exists() else "no output"
        time.sleep(0.1)


def test_a_preempted_job_goes_on_and_its_output_is_kept(slurm: Cluster, job: SlurmJob) -> None:
    number = submit(replace(job, command=program("sys.exit(75 if start < 2 else 0)")))
    slurm.wait(number, "COMPLETED")
    assert slurm.restarts(number) == 2 and job_states(number) == {number: "COMPLETED"}
    for start in range(3):
        # The first task to end has srun end the other, be it before its line.
        assert f"start {start}" in output(job, number)
    assert slurm.show(number)[0]["JobName"] == "a"  # of "a 'job'", which show() splits at spaces
    assert {file.name for file in job.folder.iterdir()} == {
        "job.sh",
        f"slurm-{number}.json",
        f"slurm-{number}.out",
    }


def test_usr1_reaches_every_task_and_the_job_goes_on(slurm: Cluster, job: SlurmJob) -> None:
    number = submit(replace(job, command=program("if start == 0: time.sleep(600)")))
    until_written(job, number, "start 0")
    slurm.cancel(number, signal="USR1")
    slurm.wait(number, "COMPLETED")
    assert slurm.restarts(number) == 1
    assert f"job {number}: preempted, requeued" in output(job, number)


@pytest.mark.slow
def test_the_end_of_the_time_is_announced(slurm: Cluster, job: SlurmJob) -> None:
    # Slurm looks twice a minute, and knows limits in whole minutes.
    timed = replace(job, time="1", grace=58, command=program("if start == 0: time.sleep(600)"))
    number = submit(timed)
    slurm.wait(number, "COMPLETED", timeout=100)
    assert slurm.restarts(number) == 1


def test_a_requeue_by_slurm_is_one_restart(slurm: Cluster, job: SlurmJob) -> None:
    number = submit(replace(job, command=program("if start == 0: time.sleep(600)")))
    until_written(job, number, "start 0")
    slurm.run("scontrol", "requeue", number)
    slurm.wait(number, "COMPLETED")
    assert slurm.restarts(number) == 1


def test_scancel_is_the_end_though_all_tasks_save(slurm: Cluster, job: SlurmJob) -> None:
    number = submit(replace(job, command=program("time.sleep(600)")))
    until_written(job, number, "start 0")
    slurm.cancel(number)
    assert slurm.wait(number) == "CANCELLED"
    # Longer than a requeued job waits.
    time.sleep(8)
    assert slurm.state(number) == "CANCELLED" and slurm.restarts(number) == 0
    assert "requeued" not in output(job, number)


def test_an_error_of_one_task_ends_the_job_with_its_status(slurm: Cluster, job: SlurmJob) -> None:
    # The other is told to stop by srun, and says that it was preempted.
    number = submit(replace(job, command=program("time.sleep(1 if rank == 1 else 600); exit(2)")))
    assert slurm.wait(number) == "FAILED"
    assert slurm.exit_status(number) == 2 and slurm.restarts(number) == 0


def test_a_killed_task_restarts_the_job_so_many_times(slurm: Cluster, job: SlurmJob) -> None:
    kill = "if rank == 1: time.sleep(0.5); os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(600)"
    number = submit(replace(job, max_restarts=1, command=program(kill)))
    assert slurm.wait(number) == "FAILED"
    assert slurm.exit_status(number) == 137 and slurm.restarts(number) == 1
    text = output(job, number)
    assert "killed by signal 9, 1 of 1 times, requeued" in text
    assert "killed by signal 9 again, not requeued" in text


def test_without_requeue_the_status_is_the_jobs(slurm: Cluster, job: SlurmJob) -> None:
    number = submit(replace(job, requeue=False, command=program("sys.exit(75)")))
    assert slurm.wait(number) == "FAILED"
    assert slurm.exit_status(number) == 75 and slurm.restarts(number) == 0


def test_tasks_of_an_array_are_requeued_one_by_one(slurm: Cluster, job: SlurmJob) -> None:
    lines = "task = int(sys.argv[1]); sys.exit({0: 0, 1: 75 * (start == 0), 2: 3}[task])"
    command = program(lines) + ' "$SLURM_ARRAY_TASK_ID"'
    number = submit(replace(job, command=command, array="0-2%2", nodes=1))
    assert set(job_states(number)) == {f"{number}_{task}" for task in range(3)}
    end = time.monotonic() + 40
    wanted = {f"{number}_0": "COMPLETED", f"{number}_1": "COMPLETED", f"{number}_2": "FAILED"}
    while job_states(number) != wanted:
        slurm.shorten_pauses(number)
        assert time.monotonic() < end, job_states(number)
        time.sleep(0.2)
    assert [slurm.restarts(f"{number}_{task}") for task in range(3)] == [0, 1, 0]
    assert slurm.exit_status(f"{number}_2") == 3
    assert "start 1" in output(job, f"{number}_1")


def test_resources_are_as_asked_and_the_submission_is_recorded(
    slurm: Cluster, job: SlurmJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    wide = replace(
        job,
        name="wide",
        command='echo "$SLURMD_NODENAME $SLURM_LOCALID $OMP_NUM_THREADS" "$CUDA_VISIBLE_DEVICES"',
        partition="gpu",
        tasks_per_node=2,
        gpus_per_node=2,
        cpus_per_task=3,
        memory="1G",
        time="5",
        extra=("--comment=two words",),
    )
    number = submit(wide)
    slurm.wait(number, "COMPLETED")
    assert sorted(output(job, number).splitlines()) == [
        f"{node} {task} 3 0,1" for node in ("n1", "n2") for task in (0, 1)
    ]
    shown = slurm.show(number)[0]
    assert (shown["Partition"], shown["NumNodes"], shown["NumCPUs"]) == ("gpu", "2", "12")
    record = json.loads((job.folder / f"slurm-{number}.json").read_text())
    assert record["job"] == number and record["script"] == script_text(wide)
    assert record["command"] == this_command() and record["directory"] == str(Path.cwd())
    assert set(record["code"]) == {"revision", "dirty"}


def test_a_refusal_says_why(slurm: Cluster, job: SlurmJob) -> None:
    with pytest.raises(UsageError, match="sbatch refuses .*invalid partition specified: nowhere"):
        submit(replace(job, partition="nowhere"))
    assert job_states("999999") == {}
