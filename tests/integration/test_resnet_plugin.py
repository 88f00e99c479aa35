"""Mask attention as a plugin in the stages of mmdet's and mmseg's ResNet."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from attnseg.layers import MaskAttention
from attnseg.registry import MODELS

PLUGIN = {
    "cfg": {"type": "attnseg.MaskAttention", "num_heads": 4, "kv_stride": 2},
    "stages": (False, False, True, True),
    "position": "after_conv3",
}


@pytest.mark.parametrize("scope", ["mmdet", "mmseg"])
def test_resnet_trains_with_mask_attention(scope: str) -> None:
    cfg = {"type": "ResNet", "depth": 50, "base_channels": 8, "plugins": [PLUGIN]}
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(ConfigDict(cfg))
    assert type(model).__module__.startswith(scope)
    model.init_weights()
    attention = [m for m in model.modules() if isinstance(m, MaskAttention)]
    assert len(attention) == 6 + 3
    model.train()
    maps = model(torch.rand(2, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (32, 16, 24),
        (64, 8, 12),
        (128, 4, 6),
        (256, 2, 3),
    ]
    sum(m.square().mean() for m in maps).backward()
    missing = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert not missing
