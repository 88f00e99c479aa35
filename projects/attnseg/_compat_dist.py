"""Distributed launch on nodes without CUDA, Slurm environment, result collection."""

import functools
import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from attnseg._compat_rendezvous import job_port, job_token, join_job

_run_folder: str | None = None
# MASTER_PORT, where it was found out here and not given.
_own_port: str | None = None


def set_run_folder(folder: str | Path | None) -> None:
    """Tell where the processes of a run may leave temporary files; shared by all nodes."""
    global _run_folder
    _run_folder = None if folder is None else os.path.abspath(folder)


def leave_group() -> None:
    """Close the process group, if one is open, and wait for the threads of gloo to end.

    A thread of gloo that still runs while the interpreter ends aborts the process (SIGABRT,
    "terminate called without an active exception"), after all was well. The threads end with the
    last reference to the group; wrapped models that nobody needs any more have one too.
    """
    if in_group():
        # Runners and models refer to themselves.
        gc.collect()
        sys.modules["torch.distributed"].destroy_process_group()


def in_group() -> bool:
    """Whether this process has joined a group of several; asks without importing torch."""
    distributed = sys.modules.get("torch.distributed")
    return bool(distributed and distributed.is_available() and distributed.is_initialized())


def install_dist() -> None:
    """Patch mmengine's launchers, its DDP wrapper and its result collection."""
    from mmengine import dist
    from mmengine.dist import dist as dist_functions
    from mmengine.dist import utils
    from mmengine.model import MMDistributedDataParallel

    if hasattr(utils._init_dist_pytorch, "attnseg_original"):
        return
    utils._init_dist_pytorch = _cpu_aware_launcher(utils._init_dist_pytorch)
    utils._init_dist_slurm = _init_dist_slurm
    collect = _collector_in_run_folder(dist_functions.collect_results_cpu)
    dist_functions.collect_results_cpu = dist.collect_results_cpu = collect
    MMDistributedDataParallel.__init__ = _cpu_aware_wrapper(MMDistributedDataParallel.__init__)


def _cpu_aware_launcher(original: Any) -> Any:
    """Wrap ``_init_dist_pytorch``, which selects a CUDA device without asking for one."""

    @functools.wraps(original)
    def init(backend: str, init_backend: str = "torch", **kwargs: Any) -> None:
        from mmengine.device import get_device
        from torch import distributed

        if get_device() != "cpu":
            original(backend, init_backend=init_backend, **kwargs)
            return
        distributed.init_process_group("gloo" if backend == "nccl" else backend, **kwargs)

    init.attnseg_original = original  # type: ignore[attr-defined]
    return init


def _init_dist_slurm(
    backend: str, port: int | None = None, init_backend: str = "torch", **kwargs: Any
) -> None:
    """Start from the variables that ``srun`` sets, on GPU and CPU nodes alike."""
    global _own_port
    from mmengine.device import get_device
    from mmengine.dist import utils

    if os.environ.get("MASTER_PORT") == _own_port:
        os.environ.pop("MASTER_PORT", None)
    given = port is not None or "MASTER_PORT" in os.environ
    slurm_environment(port)
    # Others, and mmengine's way to start on other accelerators, read the environment alone.
    if not given and init_backend == "torch" and get_device() in ("cpu", "cuda"):
        from torch.distributed.distributed_c10d import default_pg_timeout

        rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store, found = join_job(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            rank,
            world_size,
            job_token(),
            kwargs.get("timeout") or default_pg_timeout,
        )
        os.environ["MASTER_PORT"] = _own_port = str(found)
        kwargs = {**kwargs, "store": store, "rank": rank, "world_size": world_size}
    utils._init_dist_pytorch(backend, init_backend=init_backend, **kwargs)


def slurm_environment(port: int | None = None) -> None:
    """Set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT from Slurm's variables.

    MASTER_ADDR and MASTER_PORT are kept where they are set. Otherwise the port
    is the first that the job tries, made from the numbers of job and step.

    Raises:
        RuntimeError: The process was not started by ``srun``, or the first node
            of the job cannot be found out.
    """
    import torch

    missing = [
        name
        for name in ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST")
        if name not in os.environ
    ]
    if missing:
        raise RuntimeError(
            f"--launcher slurm: {', '.join(missing)} not set. Start the command with srun."
        )
    rank = int(os.environ["SLURM_PROCID"])
    local_rank = int(os.environ.get("SLURM_LOCALID", rank))
    # With --gpus-per-task=1 each task sees a single device, number 0.
    if torch.cuda.is_available():
        local_rank %= torch.cuda.device_count()
    if "MASTER_ADDR" not in os.environ:
        # Several steps of a job may each run on some of its nodes.
        nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ["SLURM_NODELIST"]
        os.environ["MASTER_ADDR"] = _first_host(nodes)
    if port is not None:
        os.environ["MASTER_PORT"] = str(port)
    elif "MASTER_PORT" not in os.environ:
        job, step = (os.environ.get(f"SLURM_{name}", "0") for name in ("JOB_ID", "STEP_ID"))
        os.environ["MASTER_PORT"] = str(job_port(job, step))
    os.environ["WORLD_SIZE"] = os.environ["SLURM_NTASKS"]
    os.environ["LOCAL_RANK"] = str(local_rank)
    os.environ["RANK"] = str(rank)


def _first_host(nodelist: str) -> str:
    """The first node by a name or address that the others reach it by."""
    if shutil.which("scontrol"):
        output = _scontrol("hostnames", nodelist).split()
        if output:
            return output[0] if _resolves(output[0]) else _address(output[0])
    elif not any(mark in nodelist for mark in "[,"):
        return nodelist
    raise RuntimeError(
        f"--launcher slurm: scontrol gave no host for SLURM_NODELIST={nodelist!r}. "
        "Set MASTER_ADDR to the first node of the job."
    )


def _scontrol(*arguments: str) -> str:
    command = ["scontrol", "show", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout if result.returncode == 0 else ""


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _address(node: str) -> str:
    """Where Slurm itself reaches a node; the node's name if it does not say."""
    fields = dict(field.partition("=")[::2] for field in _scontrol("node", node).split())
    return fields.get("NodeAddr") or node


def _cpu_aware_wrapper(original: Any) -> Any:
    """Wrap the DDP constructor: the runner names a device id even for a model on the CPU."""

    @functools.wraps(original)
    def init(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        if all(parameter.device.type == "cpu" for parameter in module.parameters()):
            kwargs["device_ids"] = None
        original(self, module, *args, **kwargs)

    return init


def _collector_in_run_folder(original: Any) -> Any:
    """Wrap ``collect_results_cpu``, which leaves ``.dist_test`` in the current directory."""

    @functools.wraps(original)
    def collect(result_part: list, size: int, tmpdir: str | None = None) -> list | None:
        from mmengine.dist import broadcast_object_list, get_dist_info

        rank, world_size = get_dist_info()
        if tmpdir is None and world_size > 1 and _run_folder is not None:
            holder = [None]
            if rank == 0:
                os.makedirs(_run_folder, exist_ok=True)
                # A fresh folder per call: a fixed one is removed under a slower process.
                holder = [tempfile.mkdtemp(prefix=".collect_", dir=_run_folder)]
            broadcast_object_list(holder)
            tmpdir = holder[0]
        return original(result_part, size, tmpdir)

    return collect
