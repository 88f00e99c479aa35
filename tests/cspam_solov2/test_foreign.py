"""TWFPN in detectors of mmdet, and CSPAM in a segmentor of mmseg: configs as users write them."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from torch import nn

from attnseg.compat import operators_compiled
from attnseg.registry import MODELS

# Not a multiple of the padding of 32, and not square.
SIZE = (70, 100)

RETINANET = """
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(type='attnseg.TWFPN', in_channels=[64, 128, 256, 512], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=3))
"""
FCOS = """
_base_ = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
model = dict(
    backbone=dict(_delete_=True, type='attnseg.CSPAMResNet', depth=18, base_channels=16),
    neck=dict(type='attnseg.TWFPN', in_channels=[16, 32, 64, 128], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=3))
"""
FCN = """
_base_ = 'mmseg::_base_/models/fcn_r50-d8.py'
norm_cfg = dict(type='BN')
model = dict(
    data_preprocessor=dict(size=(70, 100)),
    pretrained=None,
    backbone=dict(
        _delete_=True, type='attnseg.CSPAMResNet', depth=50, base_channels=8,
        dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm_cfg=norm_cfg,
        attention_stages=(1, 3), attention=dict(scale='sqrt')),
    decode_head=dict(in_channels=256, channels=16, num_classes=5, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=128, channels=16, num_classes=5, norm_cfg=norm_cfg))
"""
# One word of a config of mmseg changed; the rest is for a small test.
STOCK = """
_base_ = 'mmseg::_base_/models/pspnet_r50-d8.py'
norm_cfg = dict(type='BN')
model = dict(
    data_preprocessor=dict(size=(70, 100)),
    pretrained=None,
    backbone=dict(type='attnseg.CSPAMResNet', base_channels=8, norm_cfg=norm_cfg),
    decode_head=dict(in_channels=256, channels=16, num_classes=5, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=128, channels=16, num_classes=5, norm_cfg=norm_cfg))
"""


def build(text: str, folder: Path, scope: str) -> nn.Module:
    path = folder / "config.py"
    path.write_text(text)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(Config.fromfile(path).model)
        model.init_weights()
    model.train()
    return model


def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *SIZE), generator=generator, dtype=torch.uint8)] * 2


def boxes() -> list[DetDataSample]:
    """An image with two objects, and one without any."""
    found = [torch.tensor([[5.0, 8, 60, 50], [40, 10, 95, 66]]), torch.zeros(0, 4)]
    samples = []
    for bboxes in found:
        sample = DetDataSample(
            metainfo={"img_shape": SIZE, "ori_shape": SIZE, "scale_factor": (1.0, 1.0)}
        )
        labels = torch.arange(len(bboxes))
        sample.gt_instances = InstanceData(bboxes=bboxes, labels=labels)
        samples.append(sample)
    return samples


def train_step(model: nn.Module, data: dict, module: nn.Module) -> None:
    """One step as the runner takes it; every parameter of the module in question takes part."""
    reached = []
    for parameter in module.parameters():
        parameter.register_post_accumulate_grad_hook(reached.append)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 0.01))
    losses = model.train_step(data, optimizer)
    assert losses["loss"].isfinite() and losses["loss"] > 0
    assert len(reached) == len(list(module.parameters()))
    moved = [n for n, p in model.named_parameters() if not torch.equal(p, before[n])]
    assert any(n.startswith("backbone") for n in moved)


@pytest.mark.parametrize("text", [RETINANET, FCOS], ids=["retinanet", "fcos"])
def test_twfpn_under_detectors_of_mmdet(text: str, tmp_path: Path) -> None:
    model = build(text, tmp_path, "mmdet")
    assert type(model.neck).__module__ == "attnseg.cspam_solov2.neck"
    data = {"inputs": images(), "data_samples": boxes()}
    train_step(model, data, model.neck)
    model.eval()
    with torch.no_grad():
        if operators_compiled():
            results = model.test_step(data)
            assert all(r.pred_instances.bboxes.shape[1:] == (4,) for r in results)
        scores = model(torch.rand(2, 3, 96, 128), mode="tensor")[0]
    sizes = [(12, 16), (6, 8), (3, 4), (2, 2), (1, 1)]
    assert [tuple(s.shape[2:]) for s in scores] == sizes


@pytest.mark.parametrize("text", [FCN, STOCK], ids=["fcn", "stock"])
def test_cspam_under_heads_of_mmseg(text: str, tmp_path: Path) -> None:
    from mmseg.structures import SegDataSample

    model = build(text, tmp_path, "mmseg")
    assert type(model.backbone).__module__ == "attnseg.cspam_solov2.backbone"
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo={"img_shape": SIZE, "ori_shape": SIZE})
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 5, (1, *SIZE)))
        samples.append(sample)
    data = {"inputs": images(), "data_samples": samples}
    train_step(model, data, model.backbone)
    model.eval()
    with torch.no_grad():
        results = model.test_step(data)
    assert [r.pred_sem_seg.data.shape for r in results] == [(1, *SIZE)] * 2
