"""`--tta` on configs of ours, and what it makes of a test pipeline."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from attnseg.apis.experiment import UsageError, build_config, run_test, with_tta
from attnseg.apis.tta import flipped_pipeline

LEAVES = Path(__file__).resolve().parents[2] / "configs/maskattn_unet"
SEMANTIC = """
_base_ = [
    "{leaves}/base_semantic.py",
    "{leaves}/../_base_/datasets/demo_semantic.py",
    "{leaves}/../_base_/schedules/adamw_2e-3_400i.py",
]
model = dict(
    backbone=dict(preset="small"),
    decode_head=dict(in_channels=24, channels=24, num_classes=_base_.num_classes),
)
"""
SMALL = {
    "test_dataloader.num_workers": 0,
    "test_dataloader.persistent_workers": False,
    "test_dataloader.dataset.pipeline.1.scale": (64, 64),
}


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_checkpoint_is_evaluated_with_flips(task: str, demo_set: Path, tmp_path: Path) -> None:
    config = LEAVES / "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
    if task == "semantic":
        config = tmp_path / "semantic.py"
        config.write_text(SEMANTIC.format(leaves=LEAVES.as_posix()))
    options = {**SMALL, "visualizer.name": str(tmp_path)}
    arguments = {"data": demo_set, "work_dir": tmp_path / "run", "cfg_options": options}
    cfg = build_config(config, **arguments)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / "w.pth")
    values = [
        run_test(build_config(config, checkpoint=tmp_path / "w.pth", tta=tta, **arguments))
        for tta in (False, True)
    ]
    assert set(values[0]) == set(values[1]) and "semantic/mIoU" in values[0]
    assert '"tta": true' in (tmp_path / "run/result.json").read_text()


def test_pipeline_flips_the_image_and_not_what_is_loaded_later() -> None:
    load, resize, label, pack = (
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": (8, 8)},
        {"type": "LoadAnnotations"},
        {"type": "PackSegInputs", "meta_keys": ("img_path", "flip")},
    )
    first, views = flipped_pipeline([load, resize, label, pack])
    flips = [{"type": "RandomFlip", "prob": 0.0}, {"type": "RandomFlip", "prob": 1.0}]
    packed = {**pack, "meta_keys": ("img_path", "flip", "flip_direction")}
    assert first == load
    assert views == {"type": "TestTimeAug", "transforms": [[resize], flips, [label], [packed]]}


def test_own_pipeline_of_a_config_is_taken() -> None:
    pipeline = [{"type": "Mine"}]
    cfg = Config(
        {
            "model": {"type": "Net"},
            "tta_model": {"type": "SegTTAModel"},
            "tta_pipeline": pipeline,
            "test_dataloader": {"dataset": {"pipeline": []}},
        }
    )
    with_tta(cfg)
    assert cfg.test_dataloader.dataset.pipeline == pipeline
    assert cfg.model == {"type": "SegTTAModel", "module": {"type": "Net"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tta_model": None}, "no tta_model"),
        ({"model": {"type": "SOLOv2"}}, "SOLOv2 has no test-time augmentation here: leave --tta"),
        ({"test_dataloader": None}, "no test_dataloader.dataset.pipeline"),
        (
            {"test_dataloader": {"dataset": {"pipeline": [{"type": "Resize"}]}}},
            "expected a test pipeline from Load... to Pack..., got Resize",
        ),
    ],
)
def test_configs_without_what_it_needs_are_refused(change: dict, message: str) -> None:
    fields = {
        "model": {"type": "attnseg.PixelSegmentor"},
        "tta_model": {"type": "attnseg.PixelTTAModel"},
    }
    with pytest.raises(UsageError, match=message):
        with_tta(Config({**fields, **change}))
