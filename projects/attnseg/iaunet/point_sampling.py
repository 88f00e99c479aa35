"""Values of maps and masks at points, and the choice of points (PointRend, sections 3.1 and 3.3).

Points are (x, y) in [0, 1]^2 over the whole image, so that one point means the same place on any
grid: pixel (row i, column j) of an (h, w) map has its centre at ((j + 0.5) / w, (i + 0.5) / h).
Beyond the outermost centres a map continues with its border value, as it does when it is enlarged
with ``interpolate(mode="bilinear", align_corners=False)``. Padding with zeros would pull all
logits at the border towards 0, and the search for uncertain points with them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_logits(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps at points, bilinearly; differentiable in ``maps``.

    Args:
        maps: (N, h, w) or (B, N, h, w), float32 or float64.
        points: For (N, h, w): (P, 2) for all maps or (N, P, 2) for each its own. For
            (B, N, h, w): (P, 2), (B, P, 2) or (B, N, P, 2).

    Returns:
        (N, P) or (B, N, P).

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    lead = maps.shape[:-2]
    fits = maps.ndim in (3, 4) and points.ndim >= 2 and points.shape[-1] == 2
    if fits and points.ndim - 2 == len(lead) and points.shape[:-2] == lead:
        own = _grid_sample(maps.flatten(0, -3)[:, None], points.flatten(0, -3))
        return own.view(*lead, points.shape[-2])
    if not fits or points.shape[:-2] != lead[:-1][: points.ndim - 2]:
        raise ValueError(
            f"sample_logits: points {tuple(points.shape)} do not fit maps {tuple(maps.shape)}; "
            "give (P, 2) for all maps or (*leading sizes of the maps, P, 2)"
        )
    images = maps if maps.ndim == 4 else maps[None]
    shared = _grid_sample(images, points.expand(len(images), *points.shape[-2:]))
    return shared.view(*lead, points.shape[-2])


def sample_masks(masks: Tensor, points: Tensor) -> Tensor:
    """Read binary masks at points, bilinearly, without turning them into floating point.

    The result is that of :func:`sample_logits` on ``masks.float()``, but only the four neighbours
    of each point are read and converted.

    Args:
        masks: (M, H, W), bool or uint8 of 0 and 1.
        points: (P, 2) for all masks or (M, P, 2) for each its own, floating point.

    Returns:
        (M, P), 0 to 1, in the type of the points.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    fits = points.ndim == 2 or (points.ndim == 3 and len(points) == len(masks))
    if masks.ndim != 3 or not fits or points.shape[-1] != 2:
        raise ValueError(
            f"sample_masks expects masks (M, H, W) and points (P, 2) or (M, P, 2), got "
            f"{tuple(masks.shape)} and {tuple(points.shape)}"
        )
    height, width = masks.shape[1:]
    flat = masks.flatten(1)
    columns, across = _neighbours(points[..., 0], width)
    rows, down = _neighbours(points[..., 1], height)
    result = points.new_zeros(len(masks), points.shape[-2])
    for row, row_share in zip(rows, down, strict=True):
        for column, column_share in zip(columns, across, strict=True):
            index = row * width + column
            result += flat.gather(1, index.expand(len(masks), -1)) * (row_share * column_share)
    return result


@torch.no_grad()
def uncertain_points(
    logits: Tensor, num_points: int, oversample: float = 3.0, importance: float = 0.75
) -> Tensor:
    """Choose points of each mask, most of them where its logit is next to 0.

    For each mask, ``oversample * num_points`` uniform points are drawn; the ``importance *
    num_points`` with the smallest absolute logit stay, and fresh uniform points fill up (PointRend,
    section 3.1, training). Numbers come from torch's default generator of the device.

    Args:
        logits: (M, h, w), float32 or float64; M may be 0.
        num_points: P, points of one mask.
        oversample: At least 1.
        importance: 0 to 1.

    Returns:
        Points (M, P, 2), x and y in [0, 1).
    """
    drawn = torch.rand(len(logits), int(num_points * oversample), 2, device=logits.device)
    kept = int(importance * num_points)
    certainty = sample_logits(logits, drawn.to(logits.dtype)).abs_()
    index = certainty.topk(kept, dim=1, largest=False, sorted=False).indices
    chosen = drawn.gather(1, index[..., None].expand(-1, -1, 2))
    fresh = torch.rand(len(logits), num_points - kept, 2, device=logits.device)
    return torch.cat([chosen, fresh], dim=1)


def _grid_sample(images: Tensor, points: Tensor) -> Tensor:
    """(B, C, h, w) at (B, P, 2) -> (B, C, P)."""
    grid = (points.to(images.dtype) * 2 - 1)[:, :, None]
    values = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return values[..., 0]


def _neighbours(position: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two next pixels along an axis, and the share of each."""
    position = (position * size - 0.5).clamp_(0, size - 1)
    first = position.long()
    second = (first + 1).clamp_(max=size - 1)
    share = position - first
    return (first, second), (1 - share, share)
