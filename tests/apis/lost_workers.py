"""Trainings whose data workers die or fail, as a program that prints how each of them ended."""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS
from torch.utils.data import DataLoader

from attnseg.apis.data_workers import lost_workers
from attnseg.apis.experiment import build_config, run_test, run_train
from attnseg.compat import setup_env
from tests.configs.test_leaves import SIZE, on_demo_set, set_classes

LEAF = "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"


@HOOKS.register_module()
class KillWorker(Hook):
    """Kill a worker of a loader, as the system does when memory runs out."""

    priority = "VERY_LOW"

    def __init__(self, loader: str, at: str, step: int) -> None:
        self.loader, self.at, self.step = loader, at, step

    def _kill(self, runner: Any, at: str) -> None:
        if (at, runner.iter) != (self.at, self.step):
            return
        loader: DataLoader = getattr(runner, self.loader)
        for worker in loader._iterator._workers[:1]:
            os.kill(worker.pid, signal.SIGKILL)

    def before_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        self._kill(runner, "train")

    def before_val_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        self._kill(runner, "val")

    def before_test_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        self._kill(runner, "test")


@TRANSFORMS.register_module()
class Broken:
    """A transform of a user's own, with a fault that one image shows."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        if Path(results["img_path"]).name == self.name:
            raise ZeroDivisionError("division by zero")
        return results


def config(root: Path, folder: Path, iters: int, resume: str | None = None) -> Config:
    """Two persistent workers for each loader, validation and a checkpoint each second step."""
    cfg = build_config(LEAF, work_dir=folder, max_iters=iters, resume=resume)
    on_demo_set(cfg, root)
    set_classes(cfg)
    for split in ("train", "val"):
        cfg[f"{split}_dataloader"].update(num_workers=2, persistent_workers=True)
    cfg.train_dataloader.dataset.pipeline[3].size = SIZE
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.train_cfg.val_interval = cfg.default_hooks.checkpoint.interval = 2
    return cfg


def hand_over(loader: DataLoader) -> None:
    """Lose a worker as a batch is taken from it: the connection breaks first.

    torch learns of the death by a signal, which is held back.
    """
    iterator = iter(loader)
    loops = SimpleNamespace(work_dir="none", _train_loop=SimpleNamespace(dataloader=loader))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        with lost_workers(loops):
            os.kill(iterator._workers[0].pid, signal.SIGKILL)
            raise ConnectionResetError("Connection reset by peer")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def ending(name: str, run: Any, cfg: Any) -> None:
    """Print the name and what the run raised."""
    found = {"name": name, "type": "", "text": "", "trace": ""}
    try:
        run(cfg)
    except Exception as error:
        found |= {"type": type(error).__name__, "text": str(error)}
        found["trace"] = traceback.format_exc()
        del error
    print("ENDING " + json.dumps(found), flush=True)


def main() -> None:
    """``python lost_workers.py ROOT OUT``"""
    root, out = map(Path, sys.argv[1:])
    setup_env()
    torch.set_num_threads(1)

    def kill(loader: str, at: str, step: int) -> dict[str, Any]:
        return {"type": "mmengine.KillWorker", "loader": loader, "at": at, "step": step}

    for name, hook in {
        "train": kill("train_dataloader", "train", 0),
        "val": kill("val_dataloader", "val", 2),
        "val, idle": kill("val_dataloader", "train", 3),
    }.items():
        cfg = config(root, out / name, 4)
        cfg.custom_hooks.append(hook)
        ending(name, run_train, cfg)
    ending("hand over", hand_over, DataLoader([0, 1], num_workers=1))
    ending("resumed", run_train, config(root, out / "val", 4, resume="auto"))
    cfg = config(root, out / "test", 4)
    cfg.load_from = str(out / "val/iter_4.pth")
    cfg.custom_hooks.append(kill("test_dataloader", "test", 0))
    ending("test", run_test, cfg)
    cfg = config(root, out / "broken", 4)
    step = {"type": "mmengine.Broken", "name": "train_00001.png"}
    cfg.train_dataloader.dataset.pipeline.insert(1, step)
    ending("broken", run_train, cfg)
    cfg = config(root, out / "broken", 4)
    cfg.load_from = str(out / "val/iter_4.pth")
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(step, name="val_00001.png"))
    ending("broken, test", run_test, cfg)
    image = root / "images/val/val_00001.png"
    image.write_bytes(image.read_bytes()[:2000])
    ending("half", run_train, config(root, out / "half", 4))


if __name__ == "__main__":
    main()
