"""A resumed training follows the schedule of its config, also where that has changed."""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from attnseg.errors import InputError
from attnseg.registry import HOOKS

# What schedulers derive from their arguments; what else they hold is how far they are.
_DERIVED = {"base_values", "param_name", "total_iters", "cumulative_periods", "_schedule_phases"}


@HOOKS.register_module()
class ScheduleHook(Hook):
    """On resuming, put the config's schedule in place of a checkpoint's that differs.

    mmengine restores begin, end and the rest of each scheduler with its state, so that a training
    that is made longer would go on at the last learning rate of the shorter one. Here the config's
    schedulers are run, without training, up to where the checkpoint is: the learning rate is the
    one that an uninterrupted training by this config would have there. Where nothing has changed,
    nothing is touched.

    Raises:
        InputError: From the start of the training, if the schedule has changed and depends on
            results of validation, which are not known any more, or if nothing is left to train.
    """

    priority = "VERY_LOW"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Change ``checkpoint`` before the Runner takes its state from it."""
        if not runner._resume:
            return
        planned = _by_optimizer(runner.param_schedulers)
        saved = _by_optimizer(checkpoint.get("param_schedulers"))
        if not planned or all(_same(planned[name], saved.get(name, [])) for name in planned):
            return
        _check(runner, checkpoint, [item for part in planned.values() for item in part])
        _run_up(runner, planned, checkpoint)
        if isinstance(runner.param_schedulers, Mapping):
            states: Any = {n: [item.state_dict() for item in part] for n, part in planned.items()}
        else:
            states = [item.state_dict() for item in planned[""]]
        checkpoint["param_schedulers"] = states
        for name, part in planned.items():
            optimizer = checkpoint.get("optimizer")
            if optimizer is not None:
                _set_groups(part, optimizer[name] if name else optimizer)
        rates = sorted({rate for rates in runner.optim_wrapper.get_lr().values() for rate in rates})
        runner.logger.warning(
            "the checkpoint was trained with another schedule: from here on it is the config's, "
            f"with the learning rate {', '.join(f'{rate:.4g}' for rate in rates)} now."
        )


def _by_optimizer(schedulers: Any) -> dict[str, list[Any]]:
    if isinstance(schedulers, Mapping):
        return {name: list(part) for name, part in schedulers.items()}
    return {"": list(schedulers)} if schedulers else {}


def _same(planned: list[Any], saved: list[Mapping[str, Any]]) -> bool:
    return len(planned) == len(saved) and all(
        _settings(item, item.state_dict()) == _settings(item, state)
        for item, state in zip(planned, saved, strict=True)
    )


def _settings(scheduler: Any, state: Mapping[str, Any]) -> tuple[set[str], dict[str, Any]]:
    known = {name for kind in type(scheduler).__mro__ for name in _arguments(kind)} | _DERIVED
    known -= {"last_step", "verbose"}
    return set(state), {key: _plain(value) for key, value in state.items() if key in known}


def _arguments(kind: type) -> Iterator[str]:
    return iter(inspect.signature(kind.__init__).parameters) if kind is not object else iter(())


def _plain(value: Any) -> Any:
    """A value as it compares equal before and after it was saved."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _check(runner: Runner, checkpoint: Mapping[str, Any], schedulers: list[Any]) -> None:
    watching = [type(item).__name__ for item in schedulers if getattr(item, "need_val_args", False)]
    if watching:
        raise InputError(
            f"--resume: the schedule is not that of the checkpoint, and {watching[0]} depends on "
            "validations that are past. Resume with the param_scheduler and length that the "
            "checkpoint was trained with, or start anew from its weights with --load-from."
        )
    done = checkpoint["meta"]["iter"]
    if done >= runner.max_iters:
        raise InputError(
            f"--resume: the checkpoint has trained {done} iterations, and this run has "
            f"{runner.max_iters}: nothing is left. Give a longer run, or leave out --resume."
        )


def _run_up(
    runner: Runner, planned: Mapping[str, list[Any]], checkpoint: Mapping[str, Any]
) -> None:
    done, epochs = checkpoint["meta"]["iter"], checkpoint["meta"]["epoch"]
    an_epoch = max(1, runner.max_iters // max(1, runner.max_epochs))
    schedulers = [item for part in planned.values() for item in part]
    with warnings.catch_warnings():
        # Schedulers warn of steps that no optimizer's step goes before.
        warnings.simplefilter("ignore", UserWarning)
        for step in range(1, done + 1):
            for item in schedulers:
                if not item.by_epoch:
                    item.step()
            if step % an_epoch == 0 and step // an_epoch <= epochs:
                for item in schedulers:
                    if item.by_epoch:
                        item.step()


def _set_groups(schedulers: list[Any], saved: Mapping[str, Any]) -> None:
    """Write what the schedulers set into a saved optimizer's parameter groups."""
    base = saved.get("base_param_settings")
    groups = [*saved["param_groups"], *([base] if base else [])]
    for scheduler in schedulers:
        name = scheduler.param_name
        for group, current in zip(groups, scheduler.optimizer.param_groups, strict=False):
            for key in (name, f"initial_{name}", f"max_{name}", f"min_{name}"):
                if key in current:
                    group[key] = current[key]
            if getattr(scheduler, "use_betas", False):
                group["betas"] = current["betas"]
