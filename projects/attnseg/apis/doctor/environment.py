"""What is wrong with a machine; imports nothing that may be missing there."""

import importlib.util
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .versions import FAULT, OK, WARNING, Line, check_versions

_GIB = 2**30
_PYTHON = ((3, 10), (3, 13))  # as in setup.py; the upper one is excluded
_SHARED, _FILES, _DISK = 1.0, 4096, (0.5, 5.0)  # GiB, handles, GiB
_SLURM = ("sbatch", "srun", "scontrol")  # what tools/slurm/ calls
_CGROUP = Path("/sys/fs/cgroup")


def run_environment() -> int:
    """Print a line for each thing that was looked at.

    Returns:
        Exit status: 1 if there is a fault, else 0.
    """
    states = []
    for line in environment_lines():
        states.append(line.state)
        print(f"{line.state:8} {line.text}")
        if line.fix:
            print(f"         {'fix: ' if line.state != OK else ''}{line.fix}")
    print(", ".join(f"{states.count(s)} {s}" for s in (OK, WARNING, FAULT)))
    return int(FAULT in states)


def environment_lines() -> Iterator[Line]:
    """Everything that is looked at, one after the other; what fails becomes a line itself."""
    checks: tuple[Callable[[], Any], ...] = (
        *(check_python, check_torch, check_gpus, check_versions, check_stack),
        *(check_cores, check_shared_memory, check_open_files, check_disk, check_slurm),
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            text = f"{check.__name__} failed: {type(error).__name__}: {error}"
            yield Line(WARNING, " ".join(text.split()))


def check_python() -> Iterator[Line]:
    """Version and place of the interpreter."""
    text = f"Python {platform.python_version()} ({sys.executable})"
    low, high = _PYTHON
    if low <= sys.version_info[:2] < high:
        yield Line(OK, text)
    else:
        wanted = f"{low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
        yield Line(FAULT, f"{text}: {wanted} needed", f"make an environment with Python {wanted}")


def check_torch() -> Iterator[Line]:
    """Whether torch can be imported, and its build; its range stands with the packages."""
    if importlib.util.find_spec("torch") is None:
        yield Line(FAULT, "torch is not installed", "pip install torch, of the build you need")
        return
    try:
        import torch
    except (ImportError, OSError) as error:
        fix = "install it again: a library that it was built with is missing or of another version"
        yield Line(FAULT, f"torch is installed, but cannot be imported: {_first(error)}", fix)
        return
    cuda = torch.version.cuda or torch.version.hip
    yield Line(OK, f"torch {torch.__version__}, {f'built for CUDA {cuda}' if cuda else 'CPU only'}")


def check_gpus() -> Iterator[Line]:
    """The GPUs that torch can use, and those that it cannot."""
    try:
        import torch
    except (ImportError, OSError):
        return  # said above
    driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()
    if not torch.cuda.is_available():
        if driver and torch.version.cuda is None:
            yield Line(
                WARNING,
                "this machine has an NVIDIA driver, and a torch that is built for CPUs alone",
                "install torch of a CUDA build",
            )
        elif driver:
            yield Line(
                WARNING,
                "an NVIDIA driver is here, but torch finds no GPU "
                f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')})",
                "nvidia-smi shows whether driver and GPU work; the driver has to support "
                f"CUDA {torch.version.cuda}",
            )
        else:
            yield Line(OK, "no GPU: trainings run on the CPU, with gloo between processes")
        return
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        text = f"GPU {index}: {gpu.name}, {gpu.total_memory / _GIB:.0f} GiB"
        built = torch.cuda.get_arch_list()
        if f"sm_{gpu.major}{gpu.minor}" in built or not built:
            yield Line(OK, text)
        else:
            # Code of the same generation runs too, and so does what is compiled on the spot.
            same = any(re.match(rf"(sm|compute)_{gpu.major}\d", name) for name in built)
            text += f", compute capability {gpu.major}.{gpu.minor}, torch has {' '.join(built)}"
            yield Line(OK if same else WARNING, text, "" if same else "install a fitting torch")


def check_stack() -> Iterator[Line]:
    """Whether mmdet and mmseg can be imported, and mmcv's operators are compiled."""
    from attnseg.compat import operators_compiled, setup_env

    try:
        setup_env()
        import mmseg.models  # noqa: F401
    except Exception as error:  # Foreign packages assert versions and more while imported.
        text = f"mmengine, mmcv, mmdet or mmseg cannot be imported: {_first(error)}"
        yield Line(FAULT, text, "install the versions named above")
        return
    yield Line(OK, "mmengine, mmcv, mmdet and mmseg can be imported")
    if operators_compiled():
        yield Line(OK, "mmcv's operators are compiled")
    else:
        text = "mmcv's operators are not compiled: our models need none, box-based peers do"
        yield Line(OK, text, "make ops")


def _first(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def check_cores() -> Iterator[Line]:
    """Cores that this process may use: affinity and the quota of its container."""
    total = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    quota = cpu_quota()
    usable = min(allowed, quota) if quota else allowed
    text = f"{usable:g} of {total} CPU cores may be used (affinity {allowed}"
    text += f", quota of the container {quota:g})" if quota else ")"
    threads = os.environ.get("OMP_NUM_THREADS")
    if quota and quota < allowed and not (threads or "").isdigit():
        yield Line(
            WARNING,
            f"{text}: torch starts {allowed} threads, which share them",
            f"export OMP_NUM_THREADS={max(1, int(quota))}",
        )
    else:
        yield Line(OK, text)


def cpu_quota(root: Path = _CGROUP) -> float | None:
    """Cores that the cgroup of a container grants, of version 2 or 1; None without a limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            folder = root / "cpu"
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):  # "max" is no number
        return None


def check_shared_memory(folder: str = "/dev/shm") -> Iterator[Line]:
    """Where data workers hand over their batches."""
    if not os.path.isdir(folder):
        yield Line(OK, f"no {folder} here: nothing to check")
        return
    usage = shutil.disk_usage(folder)
    text = f"{folder}: {usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB free"
    if usage.free < _SHARED * _GIB:
        fix = "docker run --shm-size=8g (or --ipc=host); until then num_workers=0"
        yield Line(WARNING, f"{text}: data workers die of a bus error when it is full", fix)
    else:
        yield Line(OK, text)


def check_open_files() -> Iterator[Line]:
    """How many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = {resource.RLIM_INFINITY: "unlimited"}
    text = f"open files: {shown.get(soft, soft)} (up to {shown.get(hard, hard)})"
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        fix = f"ulimit -n {most}" if most > soft else "ask for a higher hard limit"
        yield Line(WARNING, f"{text}: many data workers need more", fix)
    else:
        yield Line(OK, text)


def check_disk() -> Iterator[Line]:
    """Free disk where runs are written, and in the temporary folder."""
    for folder in dict.fromkeys((os.getcwd(), tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free / _GIB
        text = f"{folder}: {free:.1f} GiB free"
        state = FAULT if free < _DISK[0] else WARNING if free < _DISK[1] else OK
        fix = "free space, or give another folder with --work-dir (TMPDIR for temporary files)"
        yield Line(state, text, "" if state == OK else fix)


def check_slurm() -> Iterator[Line]:
    """Slurm's commands, its version, and whether this is a job."""
    here = [name for name in _SLURM if shutil.which(name)]
    job = os.environ.get("SLURM_JOB_ID")
    inside = f"inside job {job}" if job else "not inside a job"
    if not here:
        state, fix = (WARNING, "load the module of Slurm in the job script") if job else (OK, "")
        yield Line(state, f"no command of Slurm on the path, {inside}", fix)
        return
    missing = [name for name in _SLURM if name not in here]
    if missing:
        fix = "put all commands of Slurm on the path: tools/slurm/ needs them"
        yield Line(WARNING, f"Slurm without {', '.join(missing)}, {inside}", fix)
    answer = subprocess.run([here[0], "--version"], capture_output=True, text=True, timeout=20)
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        text = f"commands of Slurm without a cluster ({reason}), {inside}"
        yield Line(WARNING, text, "set SLURM_CONF, or do without: nothing else needs Slurm")
    else:
        yield Line(OK, f"{answer.stdout.strip()}, {inside}")
