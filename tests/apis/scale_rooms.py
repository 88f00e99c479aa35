"""A tiny training of each room on the demo set, also as a program for several processes."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from attnseg.apis.experiment import build_config, run_train
from attnseg.compat import setup_env
from tests.configs.test_leaves import on_demo_set, set_classes

ROOMS = {
    "maskattn_unet": "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128",
    "iaunet": "iaunet_small_1xb4-1200i_dsb2018-instance-128x128",
    "cspam_solov2": "cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
    "mask_refine": "refine-best_cells_1xb16-800i_dsb2018-refinement-96x96",
    "manet": "manet_small_1xb8-400i_dsb2018-semantic-128x128",
    "mask2former": "mask2former_small_1xb4-1200i_dsb2018-instance-128x128",
    "segformer": "segformer_b0_1xb8-400i_dsb2018-semantic-128x128",
    "unet": "unet_s5-d16_1xb8-400i_dsb2018-semantic-128x128",
    "deeplabv3plus": "deeplabv3plus_r18_1xb8-400i_dsb2018-semantic-128x128",
}


def room_config(
    room: str,
    root: Path,
    work_dir: Path,
    iters: int = 2,
    launcher: str = "none",
    validate: bool = False,
    **options: Any,
) -> Config:
    """A leaf of a room on the demo set; ``options`` have ``__`` for dots."""
    resume = options.pop("resume", None)
    dotted = {key.replace("__", "."): value for key, value in options.items()}
    cfg = build_config(
        ROOMS[room],
        work_dir=work_dir,
        cfg_options=dotted,
        max_iters=iters,
        launcher=launcher,
        resume=resume,
    )
    put_on_demo_set(cfg, root)
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if "Early" not in hook["type"]]
    return cfg


def put_on_demo_set(cfg: Config, root: Path) -> None:
    """Put the demo set and a tiny size in place of a leaf's data and classes."""
    if "network" in cfg.model:
        for split in ("train", "val"):
            cfg[f"{split}_dataloader"].update(batch_size=2, num_workers=0, persistent_workers=False)
            cfg[f"{split}_dataloader"].dataset.update(
                data_root=str(root),
                ann_file=f"annotations/instances_{split}.json",
                data_prefix={"img": f"images/{split}/"},
                min_area=16,
            )
    else:
        on_demo_set(cfg, root)
        if "detector" in cfg.model:
            head = cfg.model.detector.panoptic_head
            head.num_things_classes = cfg.model.detector.panoptic_fusion_head.num_things_classes = 3
            head.loss_cls.class_weight = [1.0] * 3 + [0.1]
        else:
            set_classes(cfg)


def losses_of(runner: Runner) -> list[float]:
    """The loss of each step."""
    return runner.message_hub.get_scalar("train/loss").data[0].tolist()


def main() -> None:
    """``python scale_rooms.py LAUNCHER ROOT OUT RUNS``: train into ``OUT/folder/room``.

    RUNS is a JSON object: folder -> options and rooms, in their order.
    """
    launcher, root, out, runs = sys.argv[1:]
    setup_env()
    torch.set_num_threads(1)
    for folder, (options, rooms) in json.loads(runs).items():
        for room in rooms:
            work_dir = Path(out) / folder / room
            cfg = room_config(room, Path(root), work_dir, launcher=launcher, **options)
            runner = run_train(cfg)
            print(f"{folder}/{room} done {losses_of(runner)}", flush=True)


if __name__ == "__main__":
    main()
