"""Where a result comes from: revision, versions, machine and command."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import attnseg

_TIMEOUT = 10.0
# Name in the record -> distributions that provide it, ours first.
_DISTRIBUTIONS = {
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "numpy": ("numpy",),
}


def git_state(*files: str | Path | None) -> dict[str, Any] | None:
    """Revision of the first repository that holds one of the files, and whether it was changed.

    Changed means: a tracked file differs from the revision, or the file itself is not in it. A
    repository that ignores the file (a virtual environment in a checkout) does not hold it.

    Returns:
        ``{"revision": str, "dirty": bool}``, or None: no repository, no git, or no answer in time.
    """
    for file in files:
        if file and Path(file).is_file() and (state := _git_state(Path(file).resolve())):
            return state
    return None


def versions() -> dict[str, str | None]:
    """Versions of everything that may change a number; None for what is not installed."""
    found = {name: _version(candidates) for name, candidates in _DISTRIBUTIONS.items()}
    return {
        "attnseg": attnseg.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **found,
        "cuda": torch.version.cuda,
    }


def hardware() -> dict[str, Any]:
    """Processor, memory and GPUs of this machine, and the threads that torch uses."""
    has_gpu = torch.cuda.is_available()
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if has_gpu else None,
        "gpus": torch.cuda.device_count() if has_gpu else 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def command() -> str:
    """The command line that started this process, quoted for a shell."""
    return shlex.join(sys.orig_argv)


def _git_state(file: Path) -> dict[str, Any] | None:
    def git(*arguments: str) -> str | None:
        # A status refreshes the index; the lock of that would stop the user's own commands.
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        try:
            result = subprocess.run(
                ["git", "-C", str(file.parent), *arguments],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                check=False,
            )
        except (OSError, subprocess.SubprocessError, ValueError):
            return None
        return result.stdout.strip() if result.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    if not revision:
        return None
    tracked = git("ls-files", "--error-unmatch", "--", file.name) is not None
    if not tracked and git("check-ignore", "--quiet", "--", file.name) is not None:
        return None
    changes = git("status", "--porcelain", "--untracked-files=no")
    return (
        None if changes is None else {"revision": revision, "dirty": bool(changes) or not tracked}
    )


def _version(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
