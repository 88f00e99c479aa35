"""Trainings of each room in a precision, with every loss, gradient and weight looked at.

As a program, for long ones: ``python tests/apis/numerics.py DATA STEPS PRECISION... [-- ROOM...]``
prints how the losses fall on the real images of a folder.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from attnseg.apis.experiment import build_config, run_train
from attnseg.compat import setup_env
from tests.configs.test_leaves import on_demo_set, set_classes

ROOMS = {
    "maskattn_unet, semantic": "maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128",
    "maskattn_unet, instance": "maskattn-unet_small_1xb8-400i_coco-mini-instance-128x128",
    "maskattn_unet, panoptic": "maskattn-unet_small_1xb8-400i_dsb2018-panoptic-128x128",
    "iaunet": "iaunet_small_1xb4-1200i_dsb2018-instance-128x128",
    "iaunet, fast": "iaunet_small-fast_1xb4-1200i_dsb2018-instance-128x128",
    "cspam_solov2": "cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
    "manet": "manet_small_1xb8-400i_camvid11-semantic-128x128",
    "mask_refine, published": "refine-unet_attn32-256-bound-crop_1xb1-2000i_coco-mini-"
    "refinement-256x256",
    "mask_refine, best": "refine_best",
}


class Watch(Hook):
    """Keep the losses; fail at the first number that is not finite."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def before_train(self, runner: Runner) -> None:
        names = {id(weight): name for name, weight in runner.model.named_parameters()}

        def look(optimizer: Any, *_: Any) -> None:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        name = f"gradient of {names[id(weight)]}"
                        assert weight.grad.isfinite().all(), f"{name}, step {runner.iter + 1}"

        runner.optim_wrapper.optimizer.register_step_pre_hook(look)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        for name, value in outputs.items():
            assert torch.as_tensor(value).isfinite().all(), f"{name}, step {runner.iter + 1}"
        self.losses.append(float(outputs["loss"]))

    def after_train(self, runner: Runner) -> None:
        for name, value in runner.model.state_dict().items():
            assert value.isfinite().all(), name


def numerics_config(
    room: str, data: Path | None, demo: Path, folder: Path, steps: int, precision: str
) -> Config:
    """A leaf on a few of its real images, else on the demo set; no validation."""
    cfg = build_config(
        ROOMS[room], work_dir=folder, max_iters=steps, cfg_options={"scale.precision": precision}
    )
    dataset = cfg.train_dataloader.dataset
    if data is not None:
        dataset.data_root = str(data / Path(dataset.data_root).name)
    elif "mask_refine" in room:
        dataset.update(
            data_root=str(demo),
            ann_file="annotations/instances_train.json",
            data_prefix={"img": "images/train/"},
            min_area=16,
        )
    else:
        on_demo_set(cfg, demo)
        set_classes(cfg)
    dataset.indices = 8
    for step in dataset.pipeline:
        if "size" in step:  # of the crop; a quarter of its pixels is as good here
            step.size = tuple(side // 2 for side in step.size)
    if precision == "fp32" and room == "mask_refine, best":
        cfg.model.network.training_dtype = None
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for loop in ("val", "test"):
        cfg[f"{loop}_cfg"] = cfg[f"{loop}_dataloader"] = cfg[f"{loop}_evaluator"] = None
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if "Early" not in hook["type"]]
    return cfg


def watched(cfg: Config) -> list[float]:
    """Train; gives the loss of each step.

    Raises:
        AssertionError: A loss, gradient or weight is not finite: its name and the step.
    """
    watch = Watch()
    register = Runner.register_hooks

    def with_watch(runner: Runner, *args: Any, **kwargs: Any) -> None:
        register(runner, *args, **kwargs)
        runner.register_hook(watch)

    Runner.register_hooks = with_watch
    try:
        run_train(cfg)
    finally:
        Runner.register_hooks = register
    return watch.losses


def fall(losses: list[float]) -> tuple[float, float]:
    """Mean loss of the first and of the last tenth of the steps."""
    part = max(1, len(losses) // 10)
    return statistics.fmean(losses[:part]), statistics.fmean(losses[-part:])


def main() -> None:
    """Print one line of JSON for each room and precision."""
    data, steps, *words = sys.argv[1:]
    precisions, _, rooms = " ".join(words).partition("--")
    setup_env()
    torch.set_num_threads(1)
    for room in filter(None, map(str.strip, rooms.split(";"))) if rooms else ROOMS:
        for precision in precisions.split():
            with tempfile.TemporaryDirectory() as folder:
                at = (Path(data), Path(), Path(folder), int(steps), precision)
                losses = watched(numerics_config(room, *at))
            first, last = fall(losses)
            line = {"room": room, "precision": precision, "steps": steps}
            print(json.dumps({**line, "first": first, "last": last}), flush=True)


if __name__ == "__main__":
    main()
