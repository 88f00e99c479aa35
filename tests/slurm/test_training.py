"""MaskAttn-UNet on two nodes of a real Slurm: equal to one process, stopped and gone on."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from attnseg.engine.checkpoint_files import newest_valid
from tests.slurm.cluster import ENDED, Cluster
from tests.slurm.trainings import INTERVAL, STEPS, Training, largest_difference

pytestmark = pytest.mark.slow
Make = Callable[[str], Training]


@pytest.fixture(scope="module")
def make(
    slurm_cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
    data_root: Path | None,
    demo_set: Path,
) -> Make:
    folder = tmp_path_factory.mktemp("trainings")
    return lambda name: Training(slurm_cluster, folder / name, data_root, demo_set)


@pytest.fixture(scope="module")
def whole(make: Make, slurm_cluster: Cluster) -> Training:
    """Trained on two nodes without a break."""
    training = make("whole")
    job = training.submit()
    state = slurm_cluster.wait(job, timeout=240)
    assert state == "COMPLETED", training.output()
    return training


def test_two_nodes_equal_one_process(make: Make, whole: Training) -> None:
    alone = make("alone")
    alone.alone()
    assert largest_difference(alone.weights(20), whole.weights(20)) < 1e-5
    assert whole.steps() == alone.steps() == list(range(1, STEPS + 1))


def test_requeue_and_signal_change_nothing(make: Make, slurm: Cluster, whole: Training) -> None:
    training = make("stopped")
    job = training.submit()
    training.wait_for_step(7)
    slurm.run("scontrol", "requeue", job)
    slurm.wait(job, "RUNNING")
    training.wait_for_step(45)
    slurm.cancel(job, signal="USR1")
    assert slurm.wait(job, timeout=240) == "COMPLETED", training.output()
    assert slurm.restarts(job) == 2
    output = training.output()
    assert "SIGTERM: stopped behind step" in output or "another process: stopped" in output
    assert "SIGUSR1: stopped behind step" in output and "preempted, requeued" in output
    assert training.steps() == list(range(1, STEPS + 1))
    assert largest_difference(training.weights(), whole.weights()) == 0
    assert not (training.folder / "preempted.pth").exists()
    # Both stops were stops, no process died of them.
    assert not list(training.folder.glob("slurm-*.killed"))
    assert len(training.resumed_at()) == 2


def test_kills_at_random_moments_cost_the_steps_since_the_last_checkpoint(
    make: Make, slurm: Cluster, whole: Training
) -> None:
    kills = int(os.environ.get("ATTNSEG_KILLS", "2"))
    moments = random.Random(kills)
    training = make("killed")
    job = training.submit("--max-restarts", str(kills))
    for number in range(kills):
        slurm.wait(job, "RUNNING")
        victim = _rank(slurm, training, moments.randrange(2))
        # Half of them in the start, half in the midst of training.
        if number % 2:
            training.wait_for_step(min(training.last_step() + 1, STEPS))
        time.sleep(moments.random() * 4)
        # Of the step in the log the checkpoint may not be written yet.
        saved = (training.last_step() - 1) // INTERVAL * INTERVAL
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        assert newest_valid(training.folder).passed_over == ()
        slurm.wait(job, (*ENDED, "PENDING", "COMPLETING"))
        if slurm.state(job) == "COMPLETED":
            break
        assert newest_valid(training.folder).iteration >= max(saved, 0)
    assert slurm.wait(job, timeout=240) == "COMPLETED", training.output()
    killed = training.output().count("killed by signal 9")
    print(f"{killed} of {kills} kills, {slurm.restarts(job)} restarts")
    assert killed == slurm.restarts(job) >= min(kills, 2) - 1
    assert training.steps() == list(range(1, STEPS + 1))
    assert largest_difference(training.weights(), whole.weights()) == 0


def _rank(cluster: Cluster, training: Training, rank: int) -> int:
    """Process of a rank: the one that trains, not its shell nor its data workers."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for process in sorted(cluster.processes()):
            try:
                environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
                words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            mine = str(training.folder).encode() in words and b"python" in words[0]
            if mine and f"SLURM_PROCID={rank}".encode() in environment:
                return process
        time.sleep(0.05)
    raise AssertionError(f"rank {rank} does not run\n{training.output()}")
