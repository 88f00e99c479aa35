"""Random scenes, and a small head beside mmdet's with the same weights."""

import numpy as np
import torch
from mmdet.models.dense_heads import SOLOV2Head
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from attnseg.cspam_solov2.head import AdaptiveSOLOv2Head
from attnseg.registry import MODELS

LEVELS = {
    "num_grids": [7, 5, 3],
    "scale_ranges": ((1, 24), (12, 48), (32, 512)),
    "strides": (8, 8, 16),
}
SOLO_LOSS = {
    "type": "attnseg.AdaptiveMinimumLoss",
    "minimum": False,
    "centroid": False,
    "dice": "squared",
}
TEST_CFG = {
    "nms_pre": 30,
    "score_thr": 0.1,
    "mask_thr": 0.5,
    "filter_thr": 0.05,
    "kernel": "gaussian",
    "sigma": 2.0,
    "max_per_img": 10,
}


def settings(**changes: object) -> dict:
    base = {
        "num_classes": 3,
        "in_channels": 8,
        "feat_channels": 8,
        "stacked_convs": 1,
        "norm_cfg": {"type": "GN", "num_groups": 2},
        "mask_feature_head": {
            "feat_channels": 8,
            "start_level": 0,
            "end_level": 2,
            "out_channels": 8,
            "mask_stride": 4,
        },
        "test_cfg": TEST_CFG,
        **LEVELS,
    }
    return {**base, **changes}


def ours(**changes: object) -> AdaptiveSOLOv2Head:
    torch.manual_seed(0)
    return MODELS.build({"type": "attnseg.AdaptiveSOLOv2Head", **settings(**changes)})


def theirs(**changes: object) -> SOLOV2Head:
    torch.manual_seed(0)
    return SOLOV2Head(**ConfigDict(settings(**changes)))


def maps(size: tuple[int, int], count: int = 3, batch: int = 2, channels: int = 8) -> tuple:
    """Maps of a neck for a padded size; the first has a quarter of it."""
    torch.manual_seed(1)
    strides = (4, 8, 16, 32, 64)
    return tuple(
        torch.randn(batch, channels, -(-size[0] // s), -(-size[1] // s)) for s in strides[:count]
    )


def truth(size: tuple[int, int], objects: int, seed: int = 0, classes: int = 3) -> InstanceData:
    """Random blobs with their boxes; some without a pixel, some of one, some on one another."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((objects, *size), dtype=np.uint8)
    boxes = np.zeros((objects, 4), dtype=np.float32)
    for mask, box in zip(masks, boxes, strict=True):
        h, w = (int(np.exp(rng.uniform(0, np.log(side)))) for side in size)
        y, x = rng.integers(0, size[0] - h + 1), rng.integers(0, size[1] - w + 1)
        mask[y : y + h, x : x + w] = rng.random((h, w)) < rng.choice([0, 0.3, 0.9, 1])
        # Not always tight, as after a crop.
        box[:] = x, y, x + w + rng.random(), y + h + rng.random()
    return InstanceData(
        masks=BitmapMasks(masks, *size),
        bboxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(rng.integers(0, classes, objects)),
    )


def rectangles(size: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> InstanceData:
    """Filled boxes x1, y1, x2, y2, right and lower end outside."""
    masks = np.zeros((len(boxes), *size), dtype=np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return InstanceData(
        masks=BitmapMasks(masks, *size),
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % 3,
    )


def sample(instances: InstanceData, padded: tuple[int, int]) -> DetDataSample:
    size = (instances.masks.height, instances.masks.width)
    result = DetDataSample(
        metainfo={
            "img_shape": size,
            "ori_shape": size,
            "batch_input_shape": padded,
            "img_path": "x.png",
        }
    )
    result.gt_instances = instances
    return result
