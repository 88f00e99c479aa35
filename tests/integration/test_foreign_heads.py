"""The U-Net as a backbone and the contrastive loss in models of mmseg and mmdet."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData

from attnseg.registry import MODELS
from tests.maskattn_unet.factory import sample

SIZE = (64, 96)
BACKBONE = {"type": "attnseg.MaskAttnUNet", "preset": "small"}


def encoder_decoder(*losses: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    cfg = {
        "type": "EncoderDecoder",
        "backbone": BACKBONE,
        "data_preprocessor": {"type": "SegDataPreProcessor", "size": SIZE},
        "decode_head": {
            "type": "FCNHead",
            "in_channels": 24,
            "channels": 16,
            "in_index": 0,
            "num_convs": 1,
            "num_classes": 5,
            "align_corners": False,
            "loss_decode": [{"type": "CrossEntropyLoss"}, *losses],
        },
        "test_cfg": {"mode": "whole"},
    }
    with DefaultScope.overwrite_default_scope("mmseg"):
        return MODELS.build(ConfigDict(cfg))


def seg_samples() -> list:
    from mmseg.structures import SegDataSample

    samples = []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randint(0, 5, (1, SIZE[0] // 8, SIZE[1] // 8), generator=generator)
        truth = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
        one = SegDataSample(metainfo={"img_shape": SIZE, "ori_shape": SIZE, "pad_shape": SIZE})
        one.gt_sem_seg = PixelData(data=truth)
        samples.append(one)
    return samples


def test_backbone_under_fcn_head() -> None:
    model = encoder_decoder()
    losses = model(torch.rand(2, 3, *SIZE), seg_samples(), mode="loss")
    losses["decode.loss_ce"].backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        results = model.eval()(torch.rand(2, 3, *SIZE), seg_samples(), mode="predict")
    assert [r.pred_sem_seg.data.shape for r in results] == [(1, *SIZE)] * 2


@pytest.mark.parametrize("sampling", [None, {"pixels_per_instance": 16, "max_instances": 8}])
def test_contrastive_loss_in_fcn_head(sampling: dict | None) -> None:
    loss = {"type": "attnseg.InstanceContrastiveLoss", "normalize": True, "sampling": sampling}
    model = encoder_decoder(loss)
    losses = model(torch.rand(2, 3, *SIZE), seg_samples(), mode="loss")
    value = losses["decode.loss_instance_contrastive"]
    assert value.isfinite()
    value.backward()
    assert model.decode_head.conv_seg.weight.grad.abs().sum() > 0


def solov2() -> torch.nn.Module:
    torch.manual_seed(0)
    backbone = {**BACKBONE, "out_indices": (1, 2, 3, 4)}
    channels = list(MODELS.build(backbone).out_channels)
    cfg = {
        "type": "SOLOv2",
        "data_preprocessor": {"type": "DetDataPreprocessor", "pad_mask": True},
        "backbone": backbone,
        "neck": {"type": "FPN", "in_channels": channels, "out_channels": 16, "num_outs": 5},
        "mask_head": {
            "type": "SOLOV2Head",
            "num_classes": 2,
            "in_channels": 16,
            "feat_channels": 16,
            "stacked_convs": 1,
            "strides": [4, 4, 8, 16, 16],
            "scale_ranges": ((1, 16), (8, 24), (16, 48), (32, 64), (48, 128)),
            "pos_scale": 0.2,
            "num_grids": [12, 10, 8, 6, 4],
            "cls_down_index": 0,
            "norm_cfg": {"type": "GN", "num_groups": 4},
            "mask_feature_head": {
                "feat_channels": 16,
                "start_level": 0,
                "end_level": 3,
                "out_channels": 16,
                "mask_stride": 2,
                "norm_cfg": {"type": "GN", "num_groups": 4},
            },
            "loss_mask": {"type": "DiceLoss", "use_sigmoid": True, "loss_weight": 3.0},
            "loss_cls": {"type": "FocalLoss", "use_sigmoid": True},
        },
        "test_cfg": {
            "nms_pre": 50,
            "score_thr": 0.001,
            "mask_thr": 0.5,
            "filter_thr": 0.0005,
            "kernel": "gaussian",
            "sigma": 2.0,
            "max_per_img": 10,
        },
    }
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(ConfigDict(cfg))
        model.init_weights()
    return model


def test_backbone_under_fpn_and_solov2() -> None:
    model = solov2()
    samples = [sample(SIZE, 3), sample(SIZE, 2)]
    for one in samples:
        masks = one.gt_instances.masks
        one.gt_instances.bboxes = masks.get_bboxes("hbox").tensor
    losses = model(torch.rand(2, 3, *SIZE), samples, mode="loss")
    total = losses["loss_mask"] + losses["loss_cls"]
    assert total.isfinite() and losses["loss_mask"] > 0
    total.backward()
    assert model.backbone.encoder[1]["attn"].query.weight.grad.abs().sum() > 0
    with torch.no_grad():
        results = model.eval()(torch.rand(2, 3, *SIZE), samples, mode="predict")
    assert all(r.pred_instances.masks.shape[1:] == SIZE for r in results)
