"""Street-like scenes for the benchmark of SOLOv2's loss: ellipses of varied sizes."""

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData


def scene(
    objects: int, image: tuple[int, int], padded: tuple[int, int], classes: int, seed: int
) -> InstanceData:
    """Objects of one padded image; sides from 12 to 600 pixels, evenly on a log scale.

    Args:
        objects: how many.
        image: height and width of the part that has objects.
        padded: height and width of the masks.
        classes: labels are below it.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(12), np.log(min(600, image[0])), (objects, 2)))
    centres = rng.uniform(0, 1, (objects, 2)) * image
    y, x = np.arange(padded[0])[:, None], np.arange(padded[1])
    masks = np.zeros((objects, *padded), dtype=np.uint8)
    boxes = np.zeros((objects, 4), dtype=np.float32)
    for mask, box, (cy, cx), (h, w) in zip(masks, boxes, centres, sides, strict=True):
        inside = ((y - cy) / h) ** 2 + ((x - cx) / w) ** 2 <= 0.25
        mask[: image[0], : image[1]] = inside[: image[0], : image[1]]
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return InstanceData(
        masks=BitmapMasks(masks, *padded),
        bboxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(rng.integers(0, classes, objects)),
    )
