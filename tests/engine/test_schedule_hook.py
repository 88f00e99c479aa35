"""A resumed training has the learning rates of one that was never interrupted."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from attnseg.engine.hooks import ScheduleHook
from attnseg.errors import InputError
from tests.engine.recorded import loader, make_runner


class Rates(Hook):
    def __init__(self) -> None:
        self.rates: list[tuple[float, ...]] = []

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        groups = runner.optim_wrapper.param_groups
        self.rates.append(tuple(group["lr"] for group in groups))


def train(
    folder: Path, length: int, schedule: list, resume: Path | None = None, **more: Any
) -> tuple[Rates, Runner]:
    loop = {"by_epoch": False, "max_iters": length, "val_interval": 100}
    needed = {"interval": 4, "save_last": True} if length == 8 else {"save_last": False}
    checkpoint = {"type": "CheckpointHook", "by_epoch": False, "interval": 100, **needed}
    # mmengine waits two seconds at the end of the data.
    settings = {"train_cfg": loop, "param_scheduler": schedule, "train_dataloader": loader(64)}
    settings |= more
    start = {"load_from": str(resume), "resume": True} if resume else {}
    runner = make_runner(folder, (), default_hooks={"checkpoint": checkpoint}, **settings, **start)
    hook = Rates()
    runner.register_hook(hook)
    runner.register_hook(ScheduleHook())
    runner.train()
    return hook, runner


def warm_cosine(length: int) -> list[dict]:
    warm = length // 4
    return [
        {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": warm},
        {
            "type": "CosineAnnealingLR",
            "eta_min": 1e-4,
            "T_max": length - warm,
            "by_epoch": False,
            "begin": warm,
            "end": length,
        },
    ]


def of(kind: str, length: int) -> list[dict]:
    if kind == "cosine":
        return warm_cosine(length)
    parts: dict[str, dict] = {
        "steps": {"type": "MultiStepLR", "milestones": [length // 4, length // 2]},
        "restart": {
            "type": "CosineRestartLR",
            "periods": [length // 2] * 2,
            "restart_weights": [1, 0.5],
            "eta_min": 0.0,
        },
    }
    momentum = {"type": "LinearMomentum", "start_factor": 0.5, "end": length, "by_epoch": False}
    return [{**parts[kind], "by_epoch": False}, momentum]


SGD = {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}}


@pytest.mark.parametrize("kind", ["cosine", "steps", "restart"])
def test_a_longer_run_goes_on_as_if_it_had_been_so_long_from_the_start(
    tmp_path: Path, kind: str
) -> None:
    train(tmp_path / "short", 8, of(kind, 8), optim_wrapper=SGD)
    whole, uninterrupted = train(tmp_path / "whole", 20, of(kind, 20), optim_wrapper=SGD)
    start = tmp_path / "short/iter_8.pth"
    rest, runner = train(tmp_path / "rest", 20, of(kind, 20), start, optim_wrapper=SGD)
    assert rest.rates == whole.rates[8:]
    for part, other in zip(runner.param_schedulers, uninterrupted.param_schedulers, strict=True):
        assert part.state_dict() == other.state_dict()
    momentum = [r.optim_wrapper.param_groups[0]["momentum"] for r in (runner, uninterrupted)]
    assert momentum[0] == momentum[1]


def test_an_unchanged_schedule_is_restored_to_the_bit(tmp_path: Path) -> None:
    whole, uninterrupted = train(tmp_path / "whole", 8, warm_cosine(8))
    # What something else did to the rate is not undone.
    checkpoint = torch.load(tmp_path / "whole/iter_4.pth", weights_only=False)
    checkpoint["optimizer"]["param_groups"][0]["lr"] *= 0.5
    torch.save(checkpoint, tmp_path / "other.pth")
    rest, _ = train(tmp_path / "rest", 8, warm_cosine(8), tmp_path / "whole/iter_4.pth")
    assert rest.rates == whole.rates[4:]
    rest, _ = train(tmp_path / "other", 8, warm_cosine(8), tmp_path / "other.pth")
    assert rest.rates[0][0] == 0.5 * whole.rates[4][0]


def test_other_schedulers_and_another_learning_rate_are_followed(tmp_path: Path) -> None:
    train(tmp_path / "first", 8, warm_cosine(8))
    wrapper = {"optimizer": {"type": "SGD", "lr": 0.2}}
    schedule = [{"type": "ExponentialLR", "gamma": 0.9, "by_epoch": False}]
    start = tmp_path / "first/iter_4.pth"
    whole, _ = train(tmp_path / "whole", 8, schedule, optim_wrapper=wrapper)
    rest, _ = train(tmp_path / "rest", 8, schedule, start, optim_wrapper=wrapper)
    assert rest.rates == whole.rates[4:] and whole.rates[0] == (0.2,)


def test_epochs_and_several_groups(tmp_path: Path) -> None:
    wrapper = {**SGD, "paramwise_cfg": {"norm_decay_mult": 0.0}}
    options = {"optim_wrapper": wrapper, "default_hooks": {}}
    rates, start = [], None
    for name, length in (("short", 2), ("whole", 5), ("rest", 5)):
        schedule = [
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 4},
            {"type": "PolyLR", "by_epoch": True, "end": length},
        ]
        options["train_cfg"] = {"by_epoch": True, "max_epochs": length, "val_interval": 100}
        options["default_hooks"] = {"checkpoint": {"type": "CheckpointHook", "interval": 1}}
        start = {"load_from": str(tmp_path / "short/epoch_2.pth"), "resume": True}
        begin = start if name == "rest" else {}
        runner = make_runner(tmp_path / name, (), param_scheduler=schedule, **options, **begin)
        hook = Rates()
        runner.register_hook(hook)
        runner.register_hook(ScheduleHook())
        runner.train()
        rates.append(hook.rates)
    assert rates[2] == rates[1][6:] and len(rates[2]) == 9 and len(rates[2][0]) > 1


def test_a_schedule_that_watches_validation_cannot_be_changed(tmp_path: Path) -> None:
    train(tmp_path / "first", 8, warm_cosine(8))
    schedule = [{"type": "ReduceOnPlateauLR", "monitor": "own/third"}]
    start = tmp_path / "first/iter_4.pth"
    with pytest.raises(InputError, match="ReduceOnPlateauLR depends on validations.*--load-from"):
        train(tmp_path / "rest", 20, schedule, start)


def test_a_shorter_run_than_was_trained_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "first", 8, warm_cosine(8))
    start = tmp_path / "first/iter_8.pth"
    with pytest.raises(InputError, match="trained 8 iterations, and this run has 4"):
        train(tmp_path / "rest", 4, warm_cosine(4), start)
    # A finished training that is started once more, as a queue does it, ends well.
    assert train(tmp_path / "again", 8, warm_cosine(8), start)[0].rates == []
