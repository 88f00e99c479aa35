"""A tiny IAUNet and samples with a few square objects."""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from attnseg.iaunet import IAUNet
from attnseg.registry import MODELS


def config(test_cfg: dict | None = None, image_channels: int = 3, **head: object) -> dict:
    return {
        "type": "attnseg.IAUNet",
        "backbone": {
            "type": "attnseg.UNetEncoder",
            "in_channels": image_channels,
            "widths": (4, 8, 8, 12),
            "stem_stride": 2,
        },
        "head": {
            "type": "attnseg.IAUNetHead",
            "in_channels": (4, 8, 8, 12),
            "num_classes": 2,
            "num_queries": 7,
            "channels": 8,
            "num_heads": 2,
            "loss": {"type": "attnseg.MaskSetLoss", "num_points": 64},
            **head,
        },
        "test_cfg": test_cfg,
        "data_preprocessor": {"type": "mmdet.DetDataPreprocessor", "pad_mask": True},
    }


def detector(test_cfg: dict | None = None, **head: object) -> IAUNet:
    torch.manual_seed(0)
    return MODELS.build(config(test_cfg, **head))


def sample(
    size: tuple[int, int],
    objects: int,
    ori: tuple[int, int] | None = None,
    padded: Sequence[int] | None = None,
) -> DetDataSample:
    padded = tuple(padded or size)
    masks = np.zeros((objects, *padded), dtype=np.uint8)
    for i in range(objects):
        masks[i, 4 * i : 4 * i + 9, 3 : 3 + 9] = 1
    result = DetDataSample(
        metainfo={
            "img_shape": size,
            "ori_shape": ori or size,
            "batch_input_shape": padded,
            "img_path": "x.png",
            "img_id": 1,
        }
    )
    result.gt_instances = InstanceData(
        labels=torch.arange(objects) % 2,
        masks=BitmapMasks(masks, *padded),
        bboxes=torch.zeros(objects, 4),
    )
    return result
