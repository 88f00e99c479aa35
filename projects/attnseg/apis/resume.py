"""Where a training goes on: its folder, and the newest checkpoint that is whole."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.engine.checkpoint_files import Found, newest_valid, read_meta
from attnseg.engine.config_hash import config_hash, resume_hash
from attnseg.engine.run_record import META
from attnseg.file_lock import try_lock

AUTO = "auto"
"""Value of a config's ``resume``: go on if there is a checkpoint in the run folder, else start."""

_LOCK = "training.lock"


@contextmanager
def hold_folder(runner: Any) -> Iterator[None]:
    """Keep other trainings out of the run folder; the system lets go when the process ends.

    Args:
        runner: Its first process holds the folder for all.

    Raises:
        UsageError: Another training is at work there.
    """
    if runner.rank != 0:
        yield
        return
    with try_lock(Path(runner.work_dir) / _LOCK) as free:
        if not free:
            raise UsageError(
                f"{runner.work_dir}: another training writes into this folder. Wait for it, or "
                "give another folder with --work-dir."
            )
        yield


def choose_checkpoint(runner: Any) -> bool:
    """Settle what ``resume='auto'`` means for this run, the same for all processes.

    Args:
        runner: Built, not yet trained; gets the file to resume from, else starts as its config
            says without ``resume``.

    Returns:
        Whether nothing is left to do: the folder has the record of this very training.

    Raises:
        InputError: There are checkpoints, and all are damaged.
        UsageError: The newest is of another config or seed.
    """
    if runner._resume != AUTO:
        return False
    from mmengine.dist import broadcast_object_list

    holder: list[Any] = [None, False]
    if runner.rank == 0:
        found = newest_valid(runner.work_dir)
        for problem in found.passed_over:
            runner.logger.warning(f"{problem}: passed over")
        if found.path is not None:
            _check_origin(runner, found)
        record = complete_record(runner.work_dir, config_hash(runner.cfg), runner.seed)
        holder = [found, found.path is not None and record is not None]
    broadcast_object_list(holder)
    found, complete = holder
    runner._resume = runner.cfg.resume = found.path is not None
    if found.path is not None:
        runner._load_from = runner.cfg.load_from = str(found.path)
    if complete:
        runner.logger.info(f"{runner.work_dir}: this training is complete, nothing is left to do")
    elif found.path is not None:
        runner.logger.info(f"goes on from {found.path}, behind step {found.iteration}")
    return complete


def complete_record(work_dir: str | Path, config_hash: str, seed: int) -> Path | None:
    """The latest record of a training by this config and seed that came to its end.

    A training that was stopped leaves no record, and its length is part of its config.

    Args:
        work_dir: The run folder.
        config_hash: See :func:`attnseg.engine.config_hash.config_hash`.
        seed: Of the run.
    """
    complete = []
    for path in Path(work_dir).glob("*/record*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found = (record["mode"], record["config"]["hash"], record["seed"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if found == ("train", config_hash, seed):
            complete.append((str(record.get("finished") or ""), path))
    return max(complete)[1] if complete else None


def _check_origin(runner: Any, found: Found) -> None:
    """Refuse to go on by itself from a checkpoint of another experiment."""
    meta = read_meta(found.path)
    own = meta.get(META)
    trained = own.get("resume_hash") if isinstance(own, dict) else None
    differs = []
    if trained is not None and trained != resume_hash(runner.cfg):
        differs.append("another config (model, data, optimizer, or precision)")
    # None: the run drew a seed of its own, and goes on with that of the checkpoint.
    given = (runner.cfg.get("randomness") or {}).get("seed")
    if given is not None and meta.get("seed") not in (None, given):
        differs.append(f"seed {meta['seed']}, not {given} (--seed {meta['seed']} goes on)")
    if differs:
        raise UsageError(
            f"--resume: {found.path} was trained with {' and '.join(differs)}. Give another "
            f"--work-dir to start anew, or --resume {found.path} to go on from it all the same."
        )
