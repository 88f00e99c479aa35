"""Boxes around masks."""

import torch
from torch import Tensor


def mask_boxes(masks: Tensor) -> Tensor:
    """Boxes around masks.

    Args:
        masks: (n, H, W) bool.

    Returns:
        (n, 4) float32 as x1, y1, x2, y2 with the last two exclusive; zeros for an empty mask.
    """
    return boxes_of_lines(masks.any(1), masks.any(2))


def boxes_of_lines(columns: Tensor, rows: Tensor) -> Tensor:
    """Boxes as from `mask_boxes`, of the columns (n, W) and rows (n, H), bool, that masks meet."""
    bounds = []
    for hit in (columns, rows):
        place = torch.arange(hit.shape[1], device=hit.device)
        last = torch.where(hit, place + 1, 0).amax(1)
        first = torch.where(hit, place, hit.shape[1]).amin(1)
        bounds.append((first.minimum(last), last))
    (x1, x2), (y1, y2) = bounds
    return torch.stack([x1, y1, x2, y2], dim=1).float()
