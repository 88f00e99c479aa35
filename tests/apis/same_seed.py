"""Trainings of each room with data workers, as a program that prints what came out of them."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner

from attnseg.apis.experiment import run_train
from attnseg.compat import setup_env
from tests.apis.scale_rooms import losses_of, room_config


def outcome(runner: Runner) -> dict[str, Any]:
    """Hash of all weights, buffers and moments of the optimizer, losses and metrics as text."""
    digest = hashlib.sha256()
    states = [runner.model.state_dict(), *runner.optim_wrapper.state_dict()["state"].values()]
    for state in states:
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                digest.update(str(name).encode() + value.cpu().contiguous().numpy().tobytes())
    scalars = runner.message_hub.log_scalars
    metrics = {key: repr(scalars[key].current()) for key in sorted(scalars) if "val/" in key}
    metrics = {key: value for key, value in metrics.items() if "time" not in key}
    losses = [repr(value) for value in losses_of(runner)]
    return {"weights": digest.hexdigest(), "losses": losses, "metrics": metrics}


def main() -> None:
    """``python same_seed.py ROOT OUT STEPS WORKERS SEED ROOM...``"""
    root, out, steps, workers, seed, *rooms = sys.argv[1:]
    setup_env()
    torch.set_num_threads(1)
    for room in rooms:
        cfg = room_config(room, Path(root), Path(out) / room, iters=int(steps), validate=True)
        cfg.train_cfg.val_interval = int(steps)
        cfg.randomness.seed = int(seed)
        for split in ("train", "val"):
            loader = cfg[f"{split}_dataloader"]
            loader.update(num_workers=int(workers), persistent_workers=True)
        print("OUTCOME " + json.dumps({"room": room, **outcome(run_train(cfg))}), flush=True)


if __name__ == "__main__":
    main()
