"""The length of a training run."""

from collections.abc import Iterator
from typing import Any

from attnseg.apis.command import UsageError

_STEP_KEYS = ("begin", "end", "T_max", "total_iters", "total_steps", "step_size")


def shorten_training(cfg: Any, steps: int) -> None:
    """Train for ``steps`` of what the config's loop counts: iterations, else epochs.

    Schedulers keep their shares of the run (a warm-up over an eighth stays one), and validation,
    checkpoints and logs come at least once. Works for longer runs too.

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
    def moved(step: int) -> int:
        # Adjoining schedulers share a border: equal numbers have to stay equal.
        return max(1, round(step * scale)) if step > 0 else step

    for key in _STEP_KEYS:
        if isinstance(scheduler.get(key), int):
            scheduler[key] = moved(scheduler[key])
    if "milestones" in scheduler:
        scheduler.milestones = sorted({moved(step) for step in scheduler.milestones})
    if isinstance(scheduler.get("end"), int):
        scheduler.end = max(scheduler.end, scheduler.get("begin", 0) + 1)
