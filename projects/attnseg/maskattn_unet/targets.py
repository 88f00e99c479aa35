"""Dense training targets from mmdet's ground truth: pure tensor functions."""

import torch
from torch import Tensor

NO_INSTANCE = -1


def instance_map(masks: Tensor) -> Tensor:
    """Paint masks (n, H, W) bool into one map of indices, smaller masks above larger ones.

    Returns:
        (H, W) int64: index of the mask, -1 where there is none.
    """
    count, height, width = masks.shape
    target = masks.new_full((height, width), NO_INSTANCE, dtype=torch.int64)
    order = masks.flatten(1).sum(1).argsort(descending=True, stable=True)
    for i in order.tolist():
        target[masks[i]] = i
    return target


def semantic_map(instances: Tensor, labels: Tensor, background: int) -> Tensor:
    """Class of each pixel from an instance map (H, W) and labels (n,); (H, W) int64."""
    lookup = torch.cat([labels.long(), labels.new_tensor([background], dtype=torch.int64)])
    return lookup[instances]


def ignore_outside(target: Tensor, size: tuple[int, int], value: int) -> Tensor:
    """Set the padding of a map (H, W), all that lies outside ``size``, to a value."""
    target = target.clone()
    target[size[0] :] = value
    target[:, size[1] :] = value
    return target
