"""``dist_train.sh`` and ``dist_test.sh``: torchrun from any folder, on nodes without GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnseg._compat_rendezvous import job_port

TOOLS = Path(__file__).resolve().parents[2] / "tools/slurm"
DEMO = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
SHORT = ("--cfg-options", "train_dataloader.batch_size=2", "train_dataloader.num_workers=0")
SHORT += ("train_dataloader.persistent_workers=False", "val_dataloader.num_workers=0")
SHORT += ("val_dataloader.persistent_workers=False", "test_dataloader.num_workers=0")
SHORT += ("test_dataloader.persistent_workers=False",)
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
for name in ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
    ENVIRONMENT.pop(name, None)


@pytest.mark.slow
def test_train_and_evaluate(demo_set: Path, tmp_path: Path) -> None:
    def run(script: str, *words: str) -> str:
        done = subprocess.run(
            [TOOLS / script, DEMO, *words, "--data", str(demo_set), *SHORT],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    log = run("dist_train.sh", "2", "--max-iters", "2", "--work-dir", "a run")
    assert "Iter(train) [2/2]" in log.replace("  ", " ")
    output = run("dist_test.sh", "a run/iter_2.pth", "2", "--work-dir", "a test")
    assert "PQ" in output
    assert {path.name for path in tmp_path.iterdir()} == {"a run", "a test"}


FAKE = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"


def started(tmp_path: Path, script: str, *words: str, **variables: str) -> list[str]:
    """The words that torchrun would get."""
    python = tmp_path / "python"
    python.write_text(FAKE)
    python.chmod(0o755)
    environment = {**ENVIRONMENT, "PYTHON": str(python), **variables}
    done = subprocess.run(
        [TOOLS / script, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_one_machine_uses_a_free_port_and_several_use_what_is_set(tmp_path: Path) -> None:
    words = started(tmp_path, "dist_train.sh", "a config", "3", "--data", "a b")
    assert {"--nnodes=1", "--rdzv-endpoint=localhost:0", "--nproc-per-node=3"} <= set(words)
    assert words[-6:-4] == [f"{TOOLS}/../train.py", "a config"]
    assert words[-4:] == ["--launcher", "pytorch", "--data", "a b"]
    several = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "head", "MASTER_PORT": "1234"}
    words = started(tmp_path, "dist_test.sh", "c", "w.pth", "8", **several)
    wanted = {"--nnodes=2", "--node-rank=1", "--master-addr=head", "--master-port=1234"}
    assert wanted <= set(words) and "--rdzv-endpoint=localhost:0" not in words
    assert words[-5:] == [f"{TOOLS}/../test.py", "c", "w.pth", "--launcher", "pytorch"]


@pytest.mark.parametrize(
    ("script", "words", "variables", "message"),
    [
        ("dist_train.sh", ["c"], {}, "usage: dist_train.sh CONFIG COUNT"),
        ("dist_test.sh", ["c", "2"], {}, "usage: dist_test.sh CONFIG CHECKPOINT COUNT"),
        ("dist_train.sh", ["c", "2"], {"NNODES": "2"}, "NODE_RANK: is not set"),
    ],
)
def test_what_is_missing_is_named(
    script: str, words: list[str], variables: dict[str, str], message: str
) -> None:
    done = subprocess.run(
        [TOOLS / script, *words],
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and message in done.stderr


def test_ports_of_jobs_are_below_those_that_linux_hands_out() -> None:
    assert 20000 <= job_port("123456789", "17") < 32000
