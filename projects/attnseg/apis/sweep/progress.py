"""How far a training is, by what it logs."""

import json

from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.state import tail

_TAIL = 8192


def share_done(run: Run) -> float:
    """Part of a training that is done, in [0, 0.99]; 0 where its log does not say.

    Read from ``training.jsonl``, which goes on over all starts of a training.
    """
    key = "epoch" if run.unit == "max_epochs" else "iter"
    for line in reversed(tail(run.folder / "training.jsonl", _TAIL).splitlines()):
        try:
            steps = json.loads(line)[key]
        except (ValueError, KeyError, TypeError):
            continue
        if run.steps and isinstance(steps, (int, float)):
            # The last validation is still to come.
            return min(0.99, max(0.0, steps / run.steps))
    return 0.0
