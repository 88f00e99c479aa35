"""The cluster of these tests itself: it runs jobs, and leaves nothing behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slurm import cluster as cluster_module
from tests.slurm.cluster import Cluster, require_cluster, running_cluster

REPO = Path(__file__).resolve().parents[2]
STUBBORN = """\
#SBATCH -n2
trap '' TERM
srun sleep 600 &
while true; do sleep 1; done"""


def test_tasks_run_on_both_nodes(slurm: Cluster) -> None:
    done = slurm.run("srun", "-N2", "-n4", "bash", "-c", "echo $SLURMD_NODENAME $SLURM_PROCID")
    lines = sorted(done.stdout.split("\n")[:-1])
    assert len(lines) == 4 and {line.split()[0] for line in lines} == {"n1", "n2"}
    assert sorted(line.split()[1] for line in lines) == ["0", "1", "2", "3"]


def test_a_requeued_job_starts_anew_soon(slurm: Cluster) -> None:
    job = slurm.sbatch("#SBATCH -N2 -n2 --requeue\necho run ${SLURM_RESTART_COUNT:-0}\nsleep 600")
    slurm.wait(job, "RUNNING")
    slurm.run("scontrol", "requeue", job)
    slurm.wait(job, "RUNNING")
    assert slurm.restarts(job) == 1
    slurm.cancel(job)
    assert slurm.wait(job) == "CANCELLED"
    assert "run 1" in slurm.output(job)


def test_exit_status_and_states_of_an_array(slurm: Cluster) -> None:
    job = slurm.sbatch("#SBATCH --array=0-1\nexit $SLURM_ARRAY_TASK_ID")
    assert set(slurm.wait(job).split(",")) == {"COMPLETED", "FAILED"}
    assert [slurm.exit_status(f"{job}_{task}") for task in (0, 1)] == [0, 1]


def test_nothing_is_left_after_a_failure_with_jobs_that_ignore_their_end() -> None:
    require_cluster()
    with pytest.raises(ZeroDivisionError), running_cluster() as cluster:
        job = cluster.sbatch(STUBBORN)
        cluster.wait(job, "RUNNING")
        assert len(cluster.processes()) > 5
        raise ZeroDivisionError
    assert cluster.processes() == [] and not cluster.folder.exists()


def test_a_start_that_fails_shows_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    require_cluster()
    broken = cluster_module._CONFIG.replace("SelectType=select/cons_tres", "SelectType=select/no")
    monkeypatch.setattr(cluster_module, "_CONFIG", broken)
    with pytest.raises(RuntimeError, match="(?s)did not start.*slurmctld.*select/no"):
        running_cluster().__enter__()


CODE = """
import sys, time
from tests.slurm.cluster import running_cluster
with running_cluster() as cluster:
    job = cluster.sbatch(sys.argv[1])
    cluster.wait(job, "RUNNING")
    while len(found := cluster.processes()) < 11:
        time.sleep(0.1)
    print(cluster.folder, *found, flush=True)
    time.sleep(600)
"""


def test_jobs_and_daemons_end_with_a_pytest_that_is_killed() -> None:
    require_cluster()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, STUBBORN], cwd=REPO, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    folder, *found = process.stdout.readline().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 20
    while (left := [number for number in found if _alive(number)]) or Path(folder).exists():
        assert time.monotonic() < end, left
        time.sleep(0.1)


def _alive(number: str) -> bool:
    state = Path("/proc", number, "stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("required", ["0", "1"])
def test_without_slurm_tests_are_skipped_or_fail(
    monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    monkeypatch.setattr(cluster_module, "PROGRAMS", ("slurmctld-of-nobody",))
    monkeypatch.setenv("ATTNSEG_REQUIRE_SLURM", required)
    wanted = pytest.skip.Exception if required == "0" else pytest.fail.Exception
    with pytest.raises(wanted, match="real Slurm: slurmctld-of-nobody not installed"):
        require_cluster()
