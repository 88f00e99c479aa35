"""How far a training is, by what it logs."""

import json

from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.state import tail

_LOG = "training.jsonl"


def share_done(run: Run) -> float:
    """Part of a training that is done, in [0, 0.99]; 0 where its log does not say.

    Read from the ``training.jsonl`` of :class:`attnseg.engine.hooks.step_log.StepLogHook`, which
    goes on where a resumed training does.
    """
    if not run.steps:
        return 0.0
    key = "epoch" if run.unit == "max_epochs" else "iter"
    for line in reversed(tail(run.folder / _LOG).splitlines()):
        try:
            # The line of a validation has no epoch.
            steps = json.loads(line)[key]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(steps, (int, float)):
            # The last validation is still to come.
            return min(0.99, max(0.0, steps / run.steps))
    return 0.0
