"""The doctor of the machine: this one, and ones on which something is missing or too small."""

import importlib.metadata
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from attnseg.apis.doctor import environment
from attnseg.apis.doctor.versions import FAULT, OK, WARNING, Line, check_versions

REPO = Path(__file__).resolve().parents[3]


def only(lines: Iterable[Line]) -> Line:
    (line,) = lines
    return line


def test_this_machine_has_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert environment.run_environment() == 0
    printed = capsys.readouterr().out
    for part in ("Python 3.", "torch ", "onedl-mmengine ", "gradio", "CPU cores", "Slurm"):
        assert part in printed
    assert printed.rstrip().endswith(" 0 fault")


def test_every_requirement_is_listed() -> None:
    names = {
        line.split("#")[0].split(">")[0].strip()
        for name in ("runtime", "optional")
        for line in (REPO / f"requirements/{name}.txt").read_text().splitlines()
    } - {""}
    listed = " ".join(line.text for line in check_versions())
    assert all(name in listed for name in names)


def test_versions_against_their_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["no-such-package>=2", "numpy<1", "tqdm>=4", 'no-extra>=1; extra == "optional"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    missing, old, fine, optional = check_versions()
    assert (missing.state, missing.fix) == (FAULT, "pip install 'no-such-package>=2'")
    assert old.state == WARNING and "outside the tested range <1" in old.text
    assert fine.state == OK
    assert optional.state == OK and "not installed (optional)" in optional.text


def test_package_that_is_only_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    assert only(check_versions()).state == FAULT


@pytest.mark.slow
def test_missing_packages_are_named_and_end_nothing() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'mmengine', 'mmcv'): sys.modules[name] = None\n"
        "from attnseg.apis.doctor.environment import run_environment\n"
        "sys.exit(run_environment())\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert "torch is not installed" in ended.stdout
    assert "mmengine is not installed" in ended.stdout


def test_python_outside_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert only(environment.check_python()).state == FAULT


def test_small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=2**26, used=0, free=2**26)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 2048))
    shared, files = only(environment.check_shared_memory("/")), only(environment.check_open_files())
    assert shared.state == WARNING and "--shm-size" in shared.fix
    assert (files.state, files.fix) == (WARNING, "ulimit -n 2048")
    assert {line.state for line in environment.check_disk()} == {FAULT}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_quota_of_a_container(files: dict[str, str], cores: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert environment.cpu_quota(tmp_path) == cores


def test_quota_below_the_affinity_asks_for_fewer_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cpu_quota", lambda: 2.5)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    line = only(environment.check_cores())
    assert (line.state, line.fix) == (WARNING, "export OMP_NUM_THREADS=2")


@pytest.mark.parametrize(("built", "state"), [(["sm_90"], OK), (["sm_50", "sm_70"], WARNING)])
def test_gpu_and_the_build_of_torch(
    built: list[str], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = SimpleNamespace(name="H", total_memory=80 * 2**30, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
    line = only(environment.check_gpus())
    assert line.state == state and "GPU 0: H, 80 GiB" in line.text


def _commands(folder: Path, names: Iterable[str], body: str) -> None:
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)


def test_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    missing = only(environment.check_slurm())
    assert missing.state == WARNING and "inside job 17" in missing.text
    monkeypatch.delenv("SLURM_JOB_ID")
    assert only(environment.check_slurm()).state == OK
    _commands(tmp_path, ["sbatch"], "echo slurm 24.05.1")
    part, version = environment.check_slurm()
    assert part.state == WARNING and "srun, scontrol" in part.text
    assert version == Line(OK, "slurm 24.05.1, not inside a job")
    _commands(tmp_path, ["sbatch", "srun", "scontrol"], "echo no cluster >&2; exit 1")
    broken = only(environment.check_slurm())
    assert broken.state == WARNING and "(no cluster)" in broken.text


def test_check_that_fails_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("srun", 20)

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", broken)
    monkeypatch.setattr(environment, "check_stack", lambda: iter(()))
    last = list(environment.environment_lines())[-1]
    assert last.state == WARNING and "check_slurm failed" in last.text
