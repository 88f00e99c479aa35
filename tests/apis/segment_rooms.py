"""A tiny network of each room with random weights, as a config file and a checkpoint."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from attnseg.apis.experiment import build_config
from attnseg.datasets.demo import CLASSES
from tests.apis.refine_factory import write_model
from tests.apis.scale_rooms import ROOMS
from tests.configs.test_leaves import SIZE, set_classes

THINGS = CLASSES[:3]
LEAVES = {
    **{room: ROOMS[room] for room in ("iaunet", "cspam_solov2", "manet", "segformer")},
    "semantic": "maskattn-unet_small_1xb8-400i_dsb2018-semantic-128x128",
    "instance": "maskattn-unet_small_1xb8-400i_dsb2018-instance-128x128",
    "panoptic": ROOMS["maskattn_unet"],
    "mask2former": ROOMS["mask2former"],
}
# What a room's results hold.
PARTS = {
    "semantic": {"semantic"},
    "instance": {"instances"},
    "panoptic": {"semantic", "instances", "panoptic"},
    "iaunet": {"instances"},
    "cspam_solov2": {"instances"},
    "manet": {"semantic"},
    "segformer": {"semantic"},
    "mask2former": {"instances"},
    "mask_refine": {"instances"},
}


def room_config(room: str) -> Config:
    """The leaf for the classes of the demo set, with results of any score."""
    cfg = build_config(LEAVES[room])
    if room == "mask2former":
        detector = cfg.model.get("detector", cfg.model)
        head = detector.panoptic_head
        head.num_things_classes = detector.panoptic_fusion_head.num_things_classes = 3
        head.loss_cls.class_weight = [1.0] * 3 + [0.1]
    else:
        set_classes(cfg)
    step = cfg.test_dataloader.dataset.pipeline[1]
    if "scale" in step:
        step.scale = SIZE[::-1]
    if room in ("iaunet", "cspam_solov2"):
        cfg.model.test_cfg.update(score_thr=0.0, mask_thr=0.4)
    return cfg


def write_room(room: str, folder: Path) -> tuple[Path, Path]:
    """Write config and weights; their classes are those of the demo set."""
    if room == "mask_refine":
        return write_model(folder, crop=True)
    return write_config(room_config(room), folder)


def write_config(cfg: Config, folder: Path) -> tuple[Path, Path]:
    """The same for a config."""
    folder.mkdir(parents=True, exist_ok=True)
    config, weights = folder / "own.py", folder / "own.pth"
    cfg.dump(config)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    heads = [m.num_classes for m in model.modules() if getattr(m, "num_classes", None)]
    meta = {"classes": CLASSES[: heads[0]], "thing_classes": THINGS}
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": meta}}, weights)
    return config, weights


def write_images(folder: Path) -> Path:
    """Images of several kinds, of which each room can do all."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / "colour.png"), rng.integers(0, 255, (40, 56, 3), np.uint8))
    cv2.imwrite(str(folder / "gray.jpg"), rng.integers(0, 255, (33, 70), np.uint8))
    cv2.imwrite(str(folder / "deep ü.png"), rng.integers(0, 9999, (40, 56)).astype(np.uint16))
    cv2.imwrite(str(folder / "tiny.png"), np.full((1, 1, 3), 9, np.uint8))
    return folder
