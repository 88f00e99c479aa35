"""Where a training goes on: the newest checkpoint that is whole, the same for all processes."""

import json
from pathlib import Path
from typing import Any

from attnseg.engine.checkpoint_files import Found, newest_valid

AUTO = "auto"
"""Value of a config's ``resume``: go on if there is a checkpoint in the run folder, else start."""


def choose_checkpoint(runner: Any) -> None:
    """Settle what ``resume='auto'`` means for this run; all processes take what the first finds.

    Args:
        runner: Built, not yet trained; gets the file to resume from, else starts as its config
            says without ``resume``.

    Raises:
        InputError: There are checkpoints, and all are damaged.
    """
    if runner._resume != AUTO:
        return
    from mmengine.dist import broadcast_object_list

    found = Found()
    if runner.rank == 0:
        found = newest_valid(runner.work_dir)
        for problem in found.passed_over:
            runner.logger.warning(f"{problem}: passed over")
    holder: list[Any] = [found]
    broadcast_object_list(holder)
    found = holder[0]
    runner._resume = runner.cfg.resume = found.path is not None
    if found.path is not None:
        runner._load_from = runner.cfg.load_from = str(found.path)
        runner.logger.info(f"goes on from {found.path}, behind step {found.iteration}")


def is_complete(work_dir: str | Path, config_hash: str, seed: int, steps: int) -> bool:
    """Whether a folder has the record of a training by this config that came to its end.

    Args:
        work_dir: The run folder.
        config_hash: See :func:`attnseg.engine.config_hash.config_hash`.
        seed: Of the run.
        steps: The training's length in iterations.
    """
    for path in Path(work_dir).glob("*/record.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            same = (record["mode"], record["config"]["hash"], record["seed"], record["iter"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if same == ("train", config_hash, seed, steps):
            return True
    return False
