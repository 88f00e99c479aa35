"""MA-Net's decoder in configs as a user writes them: a foreign backbone, own images and masks."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from PIL import Image

from attnseg.registry import MODELS
from tests.configs.test_leaves import train_a_step_and_predict

SIZE = (64, 96)
SWIN = {
    "type": "SwinTransformer",
    "embed_dims": 8,
    "depths": (1, 1, 1, 1),
    "num_heads": (1, 1, 2, 2),
    "window_size": 4,
    "out_indices": (0, 1, 2, 3),
}
MASKATTN = {"type": "attnseg.MaskAttnUNet", "preset": "small", "out_indices": (0, 1, 2, 3, 4)}
README = Path(__file__).resolve().parents[2] / "configs/manet/README.md"


def segmentor(backbone: dict, in_channels: tuple[int, ...]) -> torch.nn.Module:
    torch.manual_seed(0)
    cfg = {
        "type": "EncoderDecoder",
        "data_preprocessor": {"type": "SegDataPreProcessor", "size": SIZE},
        "backbone": backbone,
        "decode_head": {
            "type": "attnseg.MANetHead",
            "in_channels": in_channels,
            "pab_channels": 32,
            "attention_channels": 8,
            "reduction": 4,
            "num_classes": 5,
            "align_corners": False,
            "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
        },
        "auxiliary_head": {
            "type": "FCNHead",
            "in_channels": in_channels[-2],
            "in_index": len(in_channels) - 2,
            "channels": 8,
            "num_convs": 1,
            "num_classes": 5,
            "align_corners": False,
        },
        "test_cfg": {"mode": "whole"},
    }
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(ConfigDict(cfg))
        model.init_weights()
    return model


def samples() -> list:
    from mmseg.structures import SegDataSample

    made = []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        truth = torch.randint(0, 5, (1, *SIZE), generator=generator)
        one = SegDataSample(metainfo={"img_shape": SIZE, "ori_shape": SIZE, "pad_shape": SIZE})
        one.gt_sem_seg = PixelData(data=truth)
        made.append(one)
    return made


@pytest.mark.parametrize(
    ("backbone", "in_channels"),
    [(SWIN, (8, 16, 32, 64)), (MASKATTN, None)],
    ids=["swin", "maskattn-unet"],
)
def test_over_a_foreign_backbone_it_trains_a_step_and_predicts(
    backbone: dict, in_channels: tuple[int, ...] | None
) -> None:
    model = segmentor(backbone, in_channels or tuple(MODELS.build(backbone).out_channels))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optim = torch.optim.AdamW(model.parameters(), 1e-3)
    wrapper = Runner.build_optim_wrapper(model, {"type": "OptimWrapper", "optimizer": optim})
    inputs = [torch.randint(0, 255, (3, *SIZE), dtype=torch.uint8) for _ in range(2)]
    logged = model.train_step({"inputs": inputs, "data_samples": samples()}, wrapper)
    assert logged["decode.loss_ce"] > 0
    assert logged["aux.loss_ce"] > 0
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {"decode_head.position.alpha", "decode_head.conv_seg.weight"} <= changed
    assert any(name.startswith("backbone") for name in changed)
    model.eval()
    with torch.no_grad():
        results = model.val_step({"inputs": inputs, "data_samples": samples()})
    assert [r.pred_sem_seg.data.shape for r in results] == [(1, *SIZE)] * 2


def own_folder(root: Path) -> Path:
    """Images with a bright rectangle, and masks of 0 and 1."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((40, 50), np.uint8)
            mask[8:30, 10 + i : 35] = 1
            image = generator.integers(0, 60, (40, 50, 3), dtype=np.uint8) + 150 * mask[..., None]
            Image.fromarray(image.astype(np.uint8)).save(root / f"images/{split}/{i}.png")
            Image.fromarray(mask).save(root / f"masks/{split}/{i}.png")
    return root


def test_the_config_of_the_readme_trains_on_own_masks(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n# cells\.py\n(.*?)```", README.read_text(), re.DOTALL)
    file = tmp_path / "cells.py"
    # Found by its prefix where attnseg is installed; the tests also run from a checkout.
    file.write_text(block.replace("attnseg::", f"{README.parents[1].as_posix()}/"))
    data = own_folder(tmp_path / "mine")
    cfg = Config.fromfile(file)
    assert tuple(cfg.classes) == ("background", "cell")
    for split in ("train", "val"):
        loader = cfg[f"{split}_dataloader"]
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(data)
    cfg.train_dataloader.dataset.pipeline[3].size = (32, 32)
    cfg.val_evaluator = [cfg.val_evaluator]
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.init_weights()
    train_a_step_and_predict(model, cfg)
