"""Launching several processes on a node without CUDA."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attnseg._compat_dist import _first_host, job_port, slurm_environment

# Each rank: start as mmengine does, sum over ranks, wrap a model, collect results, report.
SCRIPT = """
import os, sys
from pathlib import Path
from attnseg.compat import leave_group, set_run_folder, setup_env
setup_env()
import torch
from mmengine.dist import all_reduce, collect_results, get_backend, get_rank, init_dist
from mmengine.model import MMDistributedDataParallel

launcher, folder = sys.argv[1:]
init_dist(launcher, backend="nccl")
set_run_folder(folder)
assert get_backend() == "gloo"
total = torch.tensor(get_rank() + 1)
all_reduce(total)
model = torch.nn.Linear(1, 1, bias=False)
model = MMDistributedDataParallel(module=model, device_ids=[int(os.environ["LOCAL_RANK"])])
model(torch.full((1, 1), float(get_rank()))).sum().backward()
for _ in range(3):
    results = collect_results([get_rank(), get_rank() + 2], 4, "cpu")
port = os.environ["MASTER_PORT"]
print(f"rank {get_rank()} sum {total.item()} grad {model.module.weight.grad.item()} "
      f"results {results} port {port}", flush=True)
del model
leave_group()
# A thread of gloo that outlives the group may abort the process at its end.
names = {task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")}
assert not {name for name in names if "gloo" in name}, names
"""

SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST", "SLURM_LOCALID", "SLURM_JOB_ID")
LAUNCH = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SLURM, *LAUNCH):
        # Set first, so that what the test sets through os.environ is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def _environment(**extra: str) -> dict[str, str]:
    base = {key: value for key, value in os.environ.items() if key not in (*SLURM, *LAUNCH)}
    return {**base, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **extra}


def _prepare(tmp_path: Path) -> tuple[Path, Path]:
    script, cwd = tmp_path / "rank.py", tmp_path / "cwd"
    script.write_text(SCRIPT)
    cwd.mkdir()
    return script, cwd


def _check(output: str, cwd: Path, run_folder: Path) -> None:
    # Rank 0 sees 0, rank 1 sees 1: the mean gradient is 0.5; results are interleaved by rank.
    assert "rank 0 sum 3 grad 0.5 results [0, 1, 2, 3]" in output
    assert "rank 1 sum 3 grad 0.5 results None" in output
    assert list(cwd.iterdir()) == []
    assert list(run_folder.iterdir()) == []


@pytest.mark.slow
def test_torchrun_on_a_node_without_cuda(tmp_path: Path) -> None:
    script, cwd = _prepare(tmp_path)
    run_folder = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    command += [str(script), "pytorch", str(run_folder)]
    result = subprocess.run(
        command, cwd=cwd, env=_environment(), capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    _check(result.stdout, cwd, run_folder)


@pytest.mark.slow
def test_slurm_on_nodes_without_cuda(tmp_path: Path) -> None:
    script, cwd = _prepare(tmp_path)
    run_folder = tmp_path / "run"
    tools = tmp_path / "bin"
    tools.mkdir()
    scontrol = tools / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$2" = hostnames ] && printf "127.0.0.1\\nnode2\\n"\n')
    scontrol.chmod(0o755)
    job = _job_with_free_port()
    processes = []
    for rank in range(2):
        environment = _environment(
            PATH=f"{tools}:{os.environ['PATH']}",
            SLURM_PROCID=str(rank),
            SLURM_LOCALID="0",
            SLURM_NTASKS="2",
            SLURM_NODELIST="node[1-2]",
            SLURM_JOB_ID=str(job),
        )
        command = [sys.executable, str(script), "slurm", str(run_folder)]
        processes.append(
            subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=120) for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs
    output = "".join(out for out, _ in outputs)
    _check(output, cwd, run_folder)
    assert output.count(f"port {job_port(str(job))}") == 2


def _job_with_free_port() -> int:
    for job in range(4_711_000, 4_712_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", job_port(str(job)))):
                return job
    raise AssertionError("no free port")


@pytest.mark.usefixtures("clean_environment")
def test_slurm_environment_keeps_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_NODELIST": "a", "SLURM_LOCALID": "1"}
    for name, value in {**values, "MASTER_ADDR": "head", "MASTER_PORT": "123"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    slurm_environment()
    assert {name: os.environ[name] for name in LAUNCH} == {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "head",
        "MASTER_PORT": "123",
    }


@pytest.mark.usefixtures("clean_environment")
def test_slurm_task_that_sees_one_gpu_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_NODELIST": "a", "SLURM_LOCALID": "3"}
    for name, value in {**values, "MASTER_ADDR": "head"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    slurm_environment(port=4321)
    assert (os.environ["LOCAL_RANK"], os.environ["MASTER_PORT"]) == ("0", "4321")


@pytest.mark.usefixtures("clean_environment")
def test_slurm_outside_srun_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="SLURM_PROCID, SLURM_NTASKS.*srun"):
        slurm_environment()


def test_first_host_without_scontrol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _first_host("node7") == "node7"
    with pytest.raises(RuntimeError, match=r"node\[1-2\].*Set MASTER_ADDR"):
        _first_host("node[1-2]")


@pytest.mark.parametrize(
    ("job", "port"), [("0", 20000), ("12000", 20000), ("4711", 24711), ("99_3", 20993)]
)
def test_job_port_by_hand(job: str, port: int) -> None:
    assert job_port(job) == port
