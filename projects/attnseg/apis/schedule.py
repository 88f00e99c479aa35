"""The length of a training run."""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

from attnseg.apis.command import UsageError

_STEP_KEYS = ("begin", "end", "T_max", "total_iters", "total_steps", "step_size")
_LENGTH_KEYS = ("T_max", "total_steps")


def shorten_training(cfg: Any, steps: int) -> None:
    """Train for ``steps`` of what the config's loop counts: iterations, else epochs.

    Schedulers keep their shares of the run (a warm-up over an eighth stays one; one that would
    have no room left is over from the start), and validation, checkpoints and logs come at least
    once. Works for longer runs too.

    Args:
        cfg: Changed in place.
        steps: At least 1.

    Raises:
        UsageError: The config states no length, or ``steps`` is not positive.
    """
    train, unit = cfg.get("train_cfg"), step_unit(cfg)
    if train is None or unit is None:
        raise UsageError(f"{cfg.filename} has no train_cfg with max_iters or max_epochs to change.")
    if steps < 1:
        raise UsageError(f"{unit}: expected at least 1, got {steps}.")
    scale = steps / train[unit]
    train[unit] = steps
    train.val_interval = min(train.get("val_interval", 1), steps)
    for scheduler in _schedulers(cfg.get("param_scheduler")):
        _rescale(scheduler, scale)
    hooks, by_epoch = cfg.get("default_hooks") or {}, unit == "max_epochs"
    checkpoint, logger = hooks.get("checkpoint"), hooks.get("logger")
    if checkpoint is not None and checkpoint.get("by_epoch", True) == by_epoch:
        checkpoint.interval = min(checkpoint.get("interval", 1), steps)
    # A logger always counts iterations, of which an epoch's number is unknown here.
    if logger is not None and not by_epoch:
        logger.interval = min(logger.get("interval", 10), steps)


def step_unit(cfg: Any) -> str | None:
    """The key of ``train_cfg`` that holds the run's length: ``max_iters`` or ``max_epochs``."""
    train = cfg.get("train_cfg") or {}
    return next((key for key in ("max_iters", "max_epochs") if train.get(key)), None)


def _schedulers(value: Any) -> Iterator[Any]:
    """Each scheduler's dict; mmengine takes one, a list, or lists by optimizer name."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        else:
            for item in value.values():
                yield from _schedulers(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _schedulers(item)


def _rescale(scheduler: Any, scale: float) -> None:
    from attnseg.engine.config_hash import type_name

    def moved(step: int) -> int:
        # Adjoining schedulers share a border: equal numbers have to stay equal.
        return max(1, round(step * scale)) if step > 0 else step

    length = _length(scheduler)
    spanning = [key for key in _LENGTH_KEYS if scheduler.get(key) and scheduler[key] == length]
    for key in _STEP_KEYS:
        if isinstance(scheduler.get(key), int):
            scheduler[key] = moved(scheduler[key])
    if "milestones" in scheduler:
        scheduler.milestones = sorted({moved(step) for step in scheduler.milestones})
    if "periods" in scheduler:
        borders = [0, *(moved(step) for step in accumulate(scheduler.periods))]
        scheduler.periods = [max(1, end - start) for start, end in pairwise(borders)]
    kind = type_name(scheduler)
    if kind.startswith("Exponential"):
        scheduler.gamma = scheduler.gamma ** (1 / scale)
    if isinstance(scheduler.get("end"), int):
        shortest = 2 if kind.startswith("OneCycle") else 1
        scheduler.end = max(scheduler.end, scheduler.get("begin", 0) + shortest)
    # Rounded apart, a cosine would end before its scheduler does, and rise again.
    for key in spanning:
        scheduler[key] = _length(scheduler)
    # mmengine converts epochs into iterations later: one epoch is long enough then.
    if not scheduler.get("convert_to_iter_based"):
        _keep_valid(scheduler, kind)


def _length(scheduler: Any) -> int | None:
    end = scheduler.get("end")
    return end - scheduler.get("begin", 0) if isinstance(end, int) else None


def _keep_valid(scheduler: Any, kind: str) -> None:
    """Give a scheduler of one step the value that it leads to: mmengine leaves it at its first."""
    length = _length(scheduler)
    if kind.startswith("Linear") and length == 1:
        end = scheduler.get("end_factor", 1.0)
        scheduler.start_factor = max(scheduler.get("start_factor", 1 / 3), end)
    elif kind.startswith("Constant") and length == 1:
        scheduler.factor = 1.0
    elif kind.startswith("OneCycle"):
        total = scheduler.get("total_steps") or length
        needed = 2 if scheduler.get("three_phase") else 1
        if total is not None and total * scheduler.get("pct_start", 0.3) <= needed:
            # No step to rise in; a cycle of one step would stand at the lowest value.
            scheduler.update(pct_start=0.0, three_phase=False)
            if scheduler.get("total_steps"):
                scheduler.total_steps = max(2, total)
