"""Trainings as users send them to Slurm, small, on images of the machine or generated ones."""

import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnseg.apis.command import run_command
from tests.slurm.cluster import Cluster
from tests.test_compat_dist import SCRIPT

REPO = Path(__file__).resolve().parents[2]
SUBMIT = REPO / "tools/slurm/submit.py"
DEMO = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
CAMVID = "maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128"
SHORT = ("--cfg-options", "train_dataloader.batch_size=2", "train_dataloader.num_workers=0")
SHORT += ("train_dataloader.persistent_workers=False",)


@pytest.fixture(scope="module")
def training(demo_set: Path, data_root: Path | None) -> list[str]:
    """Config, and after ``--`` the options that make it short."""
    real = data_root is not None and (data_root / "camvid11").is_dir()
    config, data = (CAMVID, data_root / "camvid11") if real else (DEMO, demo_set)
    return [config, "--", "--data", str(data), "--max-iters", "2", *SHORT]


@pytest.fixture
def here(
    slurm: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Call the tool in this process; returns what it wrote, and how it ended if not well."""
    spec = importlib.util.spec_from_file_location("submit_tool", SUBMIT)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.env[name])
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", [str(SUBMIT), *words])
        status: Any = 0
        try:
            run_command(tool.main)
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return printed.out if status == 0 else f"status {status}: {printed.err}"

    return call


def submit(slurm: Cluster, folder: Path, command: list[str], *options: str | Path) -> str:
    config, *rest = command
    done = slurm.run(sys.executable, SUBMIT, config, *options, *rest, cwd=folder)
    return done.stdout


def test_tasks_of_two_nodes_join_one_group(slurm: Cluster, tmp_path: Path) -> None:
    script, folder = tmp_path / "rank.py", tmp_path / "run"
    script.write_text(SCRIPT)
    command = ("srun", "-N2", "-n2", sys.executable, script, "slurm", folder)
    done = slurm.run(*command, cwd=tmp_path, env={**slurm.env, "CUDA_VISIBLE_DEVICES": ""})
    assert "rank 0 sum 3 grad 0.5 results [0, 1, 2, 3]" in done.stdout
    assert "rank 1 sum 3 grad 0.5 results None" in done.stdout


def test_steps_of_one_job_at_the_same_time_do_not_mix(slurm: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(SCRIPT)
    step = f"srun --exact -N2 -n2 {sys.executable} {script} slurm {tmp_path}"
    # The third runs on the second node alone: its rank 0 is not on the first node of the job.
    second = f"srun --exact -N1 -n2 -w n2 {sys.executable} {script} slurm {tmp_path}/c"
    text = f"#SBATCH -N2 --ntasks-per-node=3\n{step}/a & {step}/b & {second} & wait"
    job = slurm.sbatch(text, f"--output={tmp_path}/out")
    slurm.wait(job, "COMPLETED", timeout=120)
    lines = [line for line in (tmp_path / "out").read_text().splitlines() if "rank" in line]
    assert len(lines) == 6 and all(" sum 3 " in line for line in lines)
    # Two ranks on each of three ports.
    ports = [line.rpartition(" ")[2] for line in lines]
    assert sorted(map(ports.count, set(ports))) == [2, 2, 2]


@pytest.mark.slow
def test_a_submitted_training_runs_to_the_end(
    slurm: Cluster, tmp_path: Path, training: list[str]
) -> None:
    folder = tmp_path / "a run"
    options = ("--nodes", "2", "--cpus-per-task", "1", "--time", "10", "--work-dir", "a run")
    printed = submit(slurm, tmp_path, training, *options)
    job = printed.removeprefix("Submitted batch job ").partition(";")[0]
    assert str(folder) in printed
    log = folder / f"slurm-{job}.out"
    state = slurm.wait(job, timeout=240)
    assert state == "COMPLETED", log.read_text()[-3000:]
    assert (folder / "iter_2.pth").is_file() and "[2/2]" in log.read_text()
    record = json.loads((folder / f"slurm-{job}.json").read_text())
    assert record["command"].count("submit.py") == 1 and record["directory"] == str(tmp_path)
    assert set(record["code"]) == {"revision", "dirty"}
    # Nothing but the run folder is written where the user stands.
    assert {path.name for path in tmp_path.iterdir()} == {"a run"}


@pytest.mark.slow
def test_an_array_trains_a_seed_per_task(
    slurm: Cluster, tmp_path: Path, training: list[str]
) -> None:
    printed = submit(slurm, tmp_path, training, "--array", "3-4", "--work-dir", tmp_path / "runs")
    job = printed.removeprefix("Submitted batch job ").partition(";")[0]
    state = slurm.wait(job, timeout=240)
    assert state == "COMPLETED", (tmp_path / f"runs/slurm-{job}_3.out").read_text()[-3000:]
    for seed in (3, 4):
        assert (tmp_path / f"runs/{seed}/iter_2.pth").is_file()
        config = next((tmp_path / f"runs/{seed}").glob("*.py")).read_text()
        assert f"seed={seed}" in config


def test_the_commands_of_the_page(
    slurm: Cluster, here: Callable[..., str], demo_set: Path, tmp_path: Path
) -> None:
    page = (REPO / "docs/slurm.md").read_text()
    commands = [shlex.split(line) for line in re.findall(r"^python (tools/slurm.+)$", page, re.M)]
    assert len(commands) == 3
    (tmp_path / "data").mkdir()
    (tmp_path / "data/demo").symlink_to(demo_set)
    for script, *words in commands:
        assert REPO / script == SUBMIT
        # Sent as it stands; a training to its end is another test's.
        printed = here(*words)
        assert printed.startswith("#!/bin/bash" if "--dry-run" in words else "Submitted")
    own = page.partition("## Your own script")[2].partition("```bash")[2].partition("```")[0]
    options = own.strip().splitlines()[0].replace("=8", "=2")
    job = slurm.sbatch(f"{options}\nsrun true")
    assert slurm.wait(job) == "COMPLETED"


def test_dry_run_writes_and_sends_nothing(
    slurm: Cluster, here: Callable[..., str], tmp_path: Path, training: list[str]
) -> None:
    config, *rest = training
    script = here(config, "--dry-run", "--partition", "gpu", *rest)
    assert script.startswith("#!/bin/bash\n") and "#SBATCH --partition=gpu\n" in script
    assert f"--output={tmp_path}/work_dirs/" in script and f"{REPO}/tools/train.py" in script
    assert list(tmp_path.iterdir()) == []
    assert slurm.run("squeue", "--noheader").stdout == ""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["maskatn-unet_small"], "config 'maskatn-unet_small' not found"),
        ([DEMO, "--", "--cfg-options", "modl.x=1"], "Did you mean model?"),
        ([DEMO, "--", "--max-iters", "zero"], "invalid int value"),
        ([DEMO, "--", "--work-dir=x"], "give --work-dir before it"),
        ([DEMO, "--nodes", "0"], "nodes is 0: at least 1"),
    ],
)
def test_what_cannot_run_is_not_sent(
    here: Callable[..., str], tmp_path: Path, command: list[str], message: str
) -> None:
    printed = here(*command)
    assert printed.startswith("status 2: ") and message in printed
    assert list(tmp_path.iterdir()) == []
