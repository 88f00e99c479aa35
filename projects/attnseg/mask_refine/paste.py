"""From the network's size back to the image's own."""

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor

Box = tuple[int, int, int, int]


def box_of(sample: BaseDataElement, size: tuple[int, int]) -> Box:
    """Where a sample's pixels lie in its image of this size: x0, y0, x1, y1.

    Raises:
        ValueError: if ``crop_box`` is empty.
    """
    box = sample.get("crop_box")
    if box is None:
        return 0, 0, size[1], size[0]
    x0, y0, x1, y1 = (int(v) for v in box)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"crop_box must be x0, y0, x1, y1 with x1 > x0 and y1 > y0, got {box}")
    return x0, y0, x1, y1


def paste_logits(logits: Tensor, box: Box, size: tuple[int, int], threshold: float) -> Tensor:
    """Bring logits (h, w) to the box by bilinear interpolation, then threshold; bool (H, W).

    Outside the box the mask is False; what of the box lies outside the image is left away.
    """
    x0, y0, x1, y1 = box
    if logits.shape != (y1 - y0, x1 - x0):
        logits = F.interpolate(
            logits[None, None].float(), (y1 - y0, x1 - x0), mode="bilinear", align_corners=False
        )[0, 0]
    mask = logits > threshold
    height, width = size
    out = torch.zeros(size, dtype=torch.bool, device=mask.device)
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x1, width), min(y1, height)
    if left < right and top < bottom:
        out[top:bottom, left:right] = mask[top - y0 : bottom - y0, left - x0 : right - x0]
    return out
