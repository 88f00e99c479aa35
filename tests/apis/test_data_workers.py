"""Data workers that die or fail end a run in one line, with a status, and lose no checkpoint."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.data_workers import lost_workers
from tests.conftest import REPO

Ending = dict[str, str]


def environment() -> dict[str, str]:
    paths = f"{REPO / 'projects'}:{REPO}:{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def endings(demo_set: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ending]:
    """How the runs of ``lost_workers.py`` ended, all in one process."""
    out = tmp_path_factory.mktemp("lost_workers")
    root = shutil.copytree(demo_set, out / "demo")
    command = [sys.executable, str(REPO / "tests/apis/lost_workers.py"), str(root), str(out)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("ENDING ")]
    found = [json.loads(line.removeprefix("ENDING ")) for line in lines]
    return {one["name"]: one for one in found}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "loader", "then"),
    [
        ("train", "train_dataloader", "There is no checkpoint yet: start anew."),
        ("val", "val_dataloader", "iter_2.pth with --resume."),
        ("val, idle", "val_dataloader", "iter_2.pth with --resume."),
        ("test", "test_dataloader", "or the batch size."),
    ],
)
def test_a_killed_worker_is_named_with_the_fix(
    endings: dict[str, Ending], run: str, loader: str, then: str
) -> None:
    ending = endings[run]
    assert ending["type"] == "UsageError", ending["trace"]
    assert ending["text"].startswith(f"a worker of {loader} (process ")
    for part in ("is killed by signal: Killed", "memory", f"lower {loader}.num_workers=2"):
        assert part in ending["text"]
    assert ending["text"].endswith(then)


@pytest.mark.slow
def test_a_connection_that_breaks_is_a_worker_that_died(endings: dict[str, Ending]) -> None:
    text = endings["hand over"]["text"]
    assert text.startswith("a worker of train_dataloader (process "), endings["hand over"]["trace"]
    assert "is killed by signal: Killed" in text


@pytest.mark.slow
def test_a_training_goes_on_behind_it(endings: dict[str, Ending]) -> None:
    assert endings["resumed"]["type"] == "", endings["resumed"]["trace"]


@pytest.mark.slow
def test_a_worker_names_the_image_that_it_failed_on(endings: dict[str, Ending]) -> None:
    broken, half = endings["broken"], endings["half"]
    assert broken["type"] == "SampleError"
    assert "train_00001.png': ZeroDivisionError: division by zero" in broken["text"]
    # The user's own line is in it too.
    assert "lost_workers.py" in broken["text"]
    tested = endings["broken, test"]
    assert tested["type"] == "UsageError"
    assert tested["text"].strip().endswith("val_00001.png': ZeroDivisionError: division by zero")
    assert half["type"] == "UsageError"
    assert "val_00001.png' cannot be decoded" in half["text"]


def workers(pid: int) -> list[int]:
    """Processes below this one that torch started for its loaders."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_the_tool_ends_with_a_status_and_one_line(demo_set: Path, tmp_path: Path) -> None:
    options = [
        *("train_dataloader.batch_size=1", "train_dataloader.dataset.pipeline.3.size=(32,32)"),
        *("train_dataloader.num_workers=2", "default_hooks.checkpoint.interval=5"),
    ]
    tool = [sys.executable, str(REPO / "tools/train.py"), "demo-panoptic", "--data", str(demo_set)]
    tool[2] = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
    command = [*tool, "--work-dir", str(tmp_path), "--max-iters", "100000", "--cfg-options"]
    process = subprocess.Popen(
        [*command, *options],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 300
        while not list(tmp_path.glob("iter_*.pth")):
            assert process.poll() is None and time.monotonic() < end, process.stderr
            time.sleep(0.05)
        os.kill(workers(process.pid)[-1], signal.SIGKILL)
        _, text = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 2, text[-3000:]
    assert text.splitlines()[-1].startswith("error: a worker of train_dataloader (process ")
    assert "Traceback" not in text
    assert list(tmp_path.glob("iter_*.pth"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory. Please try to raise your shared "
            "memory limit.",
            ("process 7", "/dev/shm", "--shm-size"),
        ),
        ("DataLoader worker (pid(s) 7, 12) exited unexpectedly", ("process 7, 12", "memory runs")),
        (
            "DataLoader worker (pid 7) exited unexpectedly with exit code 3. Details are lost due "
            "to multiprocessing. Rerunning with num_workers=0 may give better error trace.",
            ("exit code 3", "crashed", "num_workers=0"),
        ),
        ("DataLoader worker (pid 7) is killed by signal: Segmentation fault. ", ("crashed",)),
    ],
)
def test_each_kind_of_death_has_its_advice(words: str, parts: tuple[str, ...]) -> None:
    """In the words of torch's own messages (``torch/csrc/DataLoader.cpp`` and dataloader.py)."""
    with pytest.raises(UsageError) as error, lost_workers(SimpleNamespace(work_dir="none")):
        raise KeyError("what came of it") from RuntimeError(words)
    assert all(part in str(error.value) for part in parts), error.value


def test_other_errors_stay_as_they_are() -> None:
    with (
        pytest.raises(RuntimeError, match="^shapes differ$"),
        lost_workers(SimpleNamespace(work_dir="none")),
    ):
        raise RuntimeError("shapes differ")
