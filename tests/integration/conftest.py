"""Configs of ours on the demo set, at 64x64 and with the small preset."""

from pathlib import Path

import pytest
from mmengine.config import Config

from attnseg.apis.experiment import build_config

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / "configs"
SEMANTIC = """
_base_ = [
    "{configs}/maskattn_unet/base_semantic.py",
    "{configs}/_base_/datasets/demo_semantic.py",
    "{configs}/_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    backbone=dict(preset="small"),
    decode_head=dict(in_channels=24, channels=24, num_classes=_base_.num_classes),
)
"""


def shrink(cfg: Config, name: str) -> Config:
    """Two images of 64x64 a batch, loaded in this process."""
    for split in ("train", "val", "test"):
        loader = cfg[f"{split}_dataloader"]
        loader.update(num_workers=0, persistent_workers=False)
        step = 3 if split == "train" else 1
        key = "size" if split == "train" else "scale"
        loader.dataset.pipeline[step][key] = (64, 64)
    cfg.train_dataloader.batch_size = 2
    # A visualizer lives as long as the process, with the folder it was first given.
    cfg.visualizer.name = name
    return cfg


@pytest.fixture
def panoptic_cfg(demo_set: Path, tmp_path: Path) -> Config:
    name = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
    cfg = build_config(CONFIGS / name, data=demo_set, work_dir=tmp_path / "run")
    return shrink(cfg, str(tmp_path))


def written_config(text: str, demo_set: Path, folder: Path) -> Config:
    """A leaf of this text on the demo set, at a tiny size."""
    path = folder / "leaf.py"
    path.write_text(text.format(configs=CONFIGS.as_posix()), encoding="utf-8")
    cfg = build_config(path, data=demo_set, work_dir=folder / "run")
    return shrink(cfg, str(folder))


@pytest.fixture
def semantic_cfg(demo_set: Path, tmp_path: Path) -> Config:
    return written_config(SEMANTIC, demo_set, tmp_path)
