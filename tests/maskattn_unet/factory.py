"""A tiny segmentor and samples with a few square objects."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from attnseg.maskattn_unet import PixelSegmentor


def segmentor(task: str = "panoptic", channels: int = 3, **test_cfg: object) -> PixelSegmentor:
    torch.manual_seed(0)
    return PixelSegmentor(
        backbone={"type": "attnseg.MaskAttnUNet", "preset": "small", "in_channels": channels},
        head={
            "type": "attnseg.PixelEmbeddingHead",
            "in_channels": 24,
            "num_things": 2,
            "num_stuff": 3 if task == "panoptic" else 0,
            "task": task,
            "with_coords": True,
        },
        test_cfg=test_cfg,
        data_preprocessor={"type": "mmdet.DetDataPreprocessor"},
    )


def sample(
    size: tuple[int, int], objects: int, ori: tuple[int, int] | None = None
) -> DetDataSample:
    masks = np.zeros((objects, *size), dtype=np.uint8)
    semantic = torch.full((1, *size), 2, dtype=torch.int64)
    for i in range(objects):
        masks[i, 4 * i : 4 * i + 9, 3 : 3 + 9] = 1
        semantic[0][torch.from_numpy(masks[i]).bool()] = i % 2
    result = DetDataSample(
        metainfo={
            "img_shape": size,
            "ori_shape": ori or size,
            "batch_input_shape": size,
            "img_path": "x.png",
            "img_id": 1,
        }
    )
    result.gt_instances = InstanceData(
        labels=torch.arange(objects) % 2,
        masks=BitmapMasks(masks, *size),
        bboxes=torch.zeros(objects, 4),
    )
    result.gt_sem_seg = PixelData(sem_seg=semantic)
    return result
