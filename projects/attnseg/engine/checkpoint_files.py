"""The checkpoints in a run folder: which one a training goes on from."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnseg._compat_io import safe_torch_load
from attnseg._seal import damage
from attnseg.errors import InputError

PREEMPTED = "preempted.pth"
"""What a training that was told to stop leaves, wherever in its epoch it was."""

_NUMBERED = re.compile(r"(epoch|iter)_(\d+)\.pth")


@dataclass(frozen=True)
class Found:
    """The checkpoint to go on from.

    Attributes:
        path: The file; None if the folder has no checkpoint.
        iteration: Training steps that it has behind it.
        passed_over: What was wrong with newer files, each as a sentence that names the file.
    """

    path: Path | None = None
    iteration: int = 0
    passed_over: tuple[str, ...] = ()


def newest_valid(folder: str | Path) -> Found:
    """The checkpoint of a run folder with most training behind it that is whole.

    Files are held against their seal, else against the checksums of their archive.

    Args:
        folder: Where ``epoch_N.pth``, ``iter_N.pth`` and ``preempted.pth`` lie; need not exist.

    Raises:
        InputError: There are checkpoints, and all of them are damaged: starting anew would write
            over what may be saved.
    """
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for path in Path(folder).glob("*.pth"):
        if match := _NUMBERED.fullmatch(path.name):
            kinds.setdefault(match[1], []).append((int(match[2]), path))
        elif path.name == PREEMPTED:
            kinds[PREEMPTED] = [(0, path)]
    wrong: list[str] = []
    whole: list[tuple[int, float, Path]] = []
    for files in kinds.values():
        for _, path in sorted(files, reverse=True):
            problem, iteration = _look_into(path)
            if problem is None:
                whole.append((iteration, path.stat().st_mtime, path))
                break
            wrong.append(f"{path} {problem}")
    if wrong and not whole:
        raise InputError(
            f"{'; '.join(wrong)}. No checkpoint of this run is whole: restore one of them, or move "
            "them away to start anew."
        )
    if not whole:
        return Found()
    iteration, _, path = max(whole)
    return Found(path, iteration, tuple(wrong))


def read_meta(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says of its training, without reading its weights.

    Raises:
        OSError: The file cannot be read.
        RuntimeError: It is damaged.
        LookupError: It says nothing.
    """
    return safe_torch_load(path, map_location="cpu", mmap=True)["meta"]


def remove_unfinished(folder: str | Path) -> list[Path]:
    """Remove the halves of checkpoints that a killed process left; returns what is gone.

    Only for the process that alone writes into the folder.
    """
    left = list(Path(folder).glob(".*.pth.*.tmp"))
    for path in left:
        path.unlink(missing_ok=True)
    return left


def _look_into(path: Path) -> tuple[str | None, int]:
    """What is wrong with a file, or None and how many steps it has behind it."""
    try:
        if problem := damage(path):
            return problem, 0
        return None, int(read_meta(path)["iter"])
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
        return f"cannot be resumed from ({type(error).__name__}: {error})", 0
