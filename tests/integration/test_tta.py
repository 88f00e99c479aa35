"""Test-time augmentation through a Runner: ours for panoptic, mmseg's for semantic."""

from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

META_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")


def augmented(cfg: Config, tta_model: str, load: list[dict], pack: str) -> dict[str, Any]:
    """Run the test loop over two scales, each as it is and flipped."""
    pipeline = [
        {"type": "LoadImageFromFile"},
        {
            "type": "TestTimeAug",
            "transforms": [
                [{"type": "Resize", "scale": s, "keep_ratio": False} for s in ((64, 64), (96, 80))],
                [{"type": "RandomFlip", "prob": p} for p in (0.0, 1.0)],
                load,
                [{"type": pack, "meta_keys": (*META_KEYS, "flip", "flip_direction")}],
            ],
        },
    ]
    cfg.model = ConfigDict(type=tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = pipeline
    torch.manual_seed(0)
    return Runner.from_cfg(cfg).test()


def test_panoptic(panoptic_cfg: Config) -> None:
    values = augmented(
        panoptic_cfg,
        "attnseg.PixelTTAModel",
        [{"type": "LoadPanopticAnnotations"}],
        "PackDetInputs",
    )
    assert any("PQ" in key for key in values)


def test_semantic(semantic_cfg: Config) -> None:
    values = augmented(semantic_cfg, "SegTTAModel", [{"type": "LoadAnnotations"}], "PackSegInputs")
    assert any("mIoU" in key for key in values)
