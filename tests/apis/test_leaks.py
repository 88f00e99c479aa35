"""What a training or an inferencer keeps does not grow with its steps or images.

Tensors alive are counted, not pages of the process: the count is the same on every machine.
``benchmarks/soak.py`` looks at the pages, over thousands of steps.
"""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from attnseg.apis.experiment import run_train
from attnseg.apis.inferencer import DetInferencer
from attnseg.apis.refiner import MaskRefiner
from tests.apis.scale_rooms import room_config


def tensors() -> int:
    """Tensors that something holds."""
    gc.collect()
    return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())


class Count(Hook):
    """Count before each step of a training, when no batch is alive but its own."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.alive: list[int] = []

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self.alive.append(tensors())


@pytest.mark.parametrize("room", ["maskattn_unet", "iaunet", "mask_refine"])
def test_a_training_keeps_as_many_tensors_at_each_step(
    room: str, demo_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = room_config(room, demo_set, tmp_path, iters=9, validate=True)
    cfg.train_cfg.val_interval = cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.logger.interval = 1
    count, register = Count(), Runner.register_hooks

    def with_count(runner: Runner, *args: Any, **kwargs: Any) -> None:
        register(runner, *args, **kwargs)
        runner.register_hook(count)

    monkeypatch.setattr(Runner, "register_hooks", with_count)
    run_train(cfg)
    # A batch has more or fewer objects; behind the third step all buffers are there.
    early, late = count.alive[3:6], count.alive[6:9]
    assert len(late) == 3
    assert min(late) <= max(early), count.alive


def saved(room: str, demo_set: Path, folder: Path) -> tuple[str, str]:
    """A config with weights of it."""
    cfg = room_config(room, demo_set, folder, iters=1, validate=True)
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.test_cfg = cfg.val_cfg
    cfg.dump(folder / "config.py")
    run_train(cfg)
    return str(folder / "config.py"), str(folder / "iter_1.pth")


def test_calls_of_an_inferencer_keep_no_tensor(demo_set: Path, tmp_path: Path) -> None:
    infer = DetInferencer(*saved("maskattn_unet", demo_set, tmp_path))
    alive = []
    for file in sorted((demo_set / "images/train").iterdir())[:6]:
        infer(str(file), no_save_pred=True, no_save_vis=True)
        alive.append(tensors())
    assert len(set(alive[1:])) == 1, alive


def test_calls_of_a_refiner_keep_no_tensor(demo_set: Path, tmp_path: Path) -> None:
    refiner = MaskRefiner(*saved("mask_refine", demo_set, tmp_path))
    stroke = torch.zeros(64, 64, dtype=torch.uint8)
    stroke[20:40, 20:40] = 1
    alive = []
    for file in sorted((demo_set / "images/train").iterdir())[:6]:
        refiner(str(file), stroke.numpy())
        alive.append(tensors())
    assert len(set(alive[1:])) == 1, alive
