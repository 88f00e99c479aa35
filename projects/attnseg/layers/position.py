"""Where a pixel is: coordinates and sine positions of a map of any size."""

import torch
from torch import Tensor


def coordinates(x: Tensor) -> Tensor:
    """Two more channels for a map (B, C, H, W): column and row, each from -1 to 1.

    Pixel centres: the first and last pixel lie half a pixel inside, so that maps of different
    resolution agree, and a side of one pixel is 0. One published code swaps the two sides, which
    only square maps survive.

    Returns:
        (B, 2, H, W) of the type of ``x``; x first, then y.
    """
    # bfloat16 has no odd numbers above 256.
    exact = torch.promote_types(x.dtype, torch.float32)
    rows, cols = (
        ((2 * torch.arange(n, device=x.device, dtype=exact) + 1 - n) / n).to(x.dtype)
        for n in x.shape[2:]
    )
    return torch.stack(torch.meshgrid(cols, rows, indexing="xy")).expand(x.shape[0], -1, -1, -1)


def sine_positions(size: tuple[int, int], channels: int, like: Tensor) -> Tensor:
    """Sine embedding of the pixels of a map, half of the channels for rows, half for columns.

    As in DETR with normalised positions: (i + 1) / n of 2 pi, temperature 10000, sine and cosine
    alternating.

    Args:
        size: (H, W).
        channels: divisible by 4.
        like: gives device and type.

    Returns:
        Tokens (1, H*W, channels), row-major.

    Raises:
        ValueError: if 4 does not divide the channels.

    Source:
        Carion et al., *End-to-End Object Detection with Transformers*, Appendix A.4.
    """
    if channels % 4:
        raise ValueError(f"sine positions need channels divisible by 4, got {channels}")
    half = channels // 2
    exponent = 2 * torch.arange(half // 2, device=like.device, dtype=torch.float32) / half
    rows, cols = (_axis(n, exponent) for n in size)
    grid = torch.cat(
        [rows[:, None].expand(-1, size[1], -1), cols[None].expand(size[0], -1, -1)], dim=-1
    )
    return grid.flatten(0, 1)[None].to(like.dtype)


def _axis(count: int, exponent: Tensor) -> Tensor:
    place = torch.arange(1, count + 1, device=exponent.device, dtype=torch.float32)
    angle = (place * (2 * torch.pi / count))[:, None] / 10000**exponent
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
