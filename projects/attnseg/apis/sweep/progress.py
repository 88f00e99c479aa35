"""How far a training is, by what it logs."""

import json
from pathlib import Path

from attnseg.apis.sweep.plan import Run

_TAIL = 8192


def share_done(run: Run) -> float:
    """Part of a training that is done, in [0, 0.99]; 0 where its logs do not say.

    Read from the newest ``vis_data/scalars.json``, which mmengine appends to.
    """
    logs = sorted(run.folder.glob("*/vis_data/scalars.json"))
    if not logs or not run.steps:
        return 0.0
    key = "epoch" if run.unit == "max_epochs" else "iter"
    for line in reversed(_last_lines(logs[-1])):
        try:
            steps = json.loads(line)[key]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(steps, (int, float)):
            # The last validation is still to come.
            return min(0.99, max(0.0, steps / run.steps))
    return 0.0


def _last_lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
