"""mmdet's and mmseg's inferencers on configs of ours."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from attnseg.datasets.demo import CLASSES
from attnseg.registry import MODELS

KINDS = {"colour": ((40, 56, 3), np.uint8), "gray": ((40, 56), np.uint8), "deep": ((40, 56), "u2")}


def save_random_weights(cfg: Config, path: Path) -> Path:
    """A checkpoint as a run leaves it: weights and the classes of the data."""
    torch.manual_seed(0)
    palette = [(40 * i, 255 - 40 * i, 80) for i in range(len(CLASSES))]
    meta = {"dataset_meta": {"classes": CLASSES, "palette": palette}}
    torch.save({"state_dict": MODELS.build(cfg.model).state_dict(), "meta": meta}, path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """A colour, a gray and a 16-bit PNG of 40x56."""
    paths = []
    for name, (shape, dtype) in KINDS.items():
        path = tmp_path / f"{name}.png"
        rng = np.random.default_rng(0)
        cv2.imwrite(str(path), rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype))
        paths.append(str(path))
    return paths


def test_det_inferencer(panoptic_cfg: Config, images: list[str], tmp_path: Path) -> None:
    from mmdet.apis import DetInferencer

    init_default_scope("mmdet")
    weights = save_random_weights(panoptic_cfg, tmp_path / "weights.pth")
    infer = DetInferencer(panoptic_cfg, str(weights), device="cpu", show_progress=False)
    result = infer(images, return_datasamples=True, no_save_vis=True, return_vis=True)
    assert [v.shape for v in result["visualization"]] == [(40, 56, 3)] * 3
    for one in result["predictions"]:
        assert one.pred_panoptic_seg.sem_seg.shape == (1, 40, 56)
        assert one.pred_instances.masks.shape[1:] == (40, 56)


def test_seg_inferencer(semantic_cfg: Config, images: list[str], tmp_path: Path) -> None:
    from mmseg.apis import MMSegInferencer

    init_default_scope("mmseg")
    weights = save_random_weights(semantic_cfg, tmp_path / "weights.pth")
    path = tmp_path / "resolved.py"
    semantic_cfg.dump(path)
    infer = MMSegInferencer(str(path), str(weights), device="cpu")
    result = infer(images)
    assert [p.shape for p in result["predictions"]] == [(40, 56)] * 3
    assert all(0 <= p.min() <= p.max() < len(CLASSES) for p in result["predictions"])
