"""Attention in tiles of query rows, for values that are wider than queries.

Fused kernels want one width for queries, keys and values: position attention with 64 channels of
queries and 512 of values would pad its queries eightfold, in memory and in products. Here a tile
of rows meets all keys at once, each product has its own width, and the backward pass makes each
tile again from the rows' normalisers.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnseg.layers.precision import without_autocast

# Entries of one tile: 1 MiB of float32, which caches hold. Fewer rows make thin products.
_TILE = 2**18
_MIN_ROWS = 32


def tiled_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Softmax(q k^T * scale) v, with tiles of the matrix in place of the matrix.

    Args:
        q: queries (B, heads, N, d).
        k: keys (B, heads, M, d).
        v: values (B, heads, M, c), of any width.
        scale: factor of the dot products.

    Returns:
        (B, heads, N, c), of the type of ``v``; half precision is computed in float32. It can be
        differentiated once. Without keys it is zero, as torch's fused kernels have it.
    """
    exact = torch.promote_types(torch.promote_types(q.dtype, v.dtype), torch.float32)
    shape = (*q.shape[:3], v.shape[-1])
    with without_autocast(q):
        pairs = [t.to(exact).flatten(0, 1) for t in (q, k, v)]
        if not k.shape[2]:
            # Rows of nothing have no largest entry to subtract; a product over nothing is zero.
            out = pairs[0] @ pairs[1].transpose(1, 2) @ pairs[2]
        else:
            out = _TiledAttention.apply(*pairs, scale)
        return out.view(shape).to(v.dtype)


class _TiledAttention(torch.autograd.Function):
    """On pairs of batch and head: q (P, N, d), k (P, M, d), v (P, M, c)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        out = q.new_empty(*q.shape[:2], v.shape[-1])
        normaliser = q.new_empty(*q.shape[:2], 1)
        for rows, (tile,) in _tiles(q, k, 1):
            torch.bmm(q[:, rows] * scale, k.transpose(1, 2), out=tile)
            top = tile.amax(-1, keepdim=True)
            total = tile.sub_(top).exp_().sum(-1, keepdim=True)
            normaliser[:, rows] = top + total.log()
            out[:, rows] = torch.bmm(tile, v).div_(total)
        ctx.save_for_backward(q, k, v, out, normaliser)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, normaliser = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for rows, (weights, of_logits) in _tiles(q, k, 2):
            scaled, given = q[:, rows] * ctx.scale, grad[:, rows]
            torch.bmm(scaled, k.transpose(1, 2), out=weights)
            weights.sub_(normaliser[:, rows]).exp_()
            grad_v.baddbmm_(weights.transpose(1, 2), given)
            torch.bmm(given, v.transpose(1, 2), out=of_logits)
            mean = torch.linalg.vecdot(given, out[:, rows]).unsqueeze(-1)
            of_logits.sub_(mean).mul_(weights)
            grad_q[:, rows] = torch.bmm(of_logits, k).mul_(ctx.scale)
            grad_k.baddbmm_(of_logits.transpose(1, 2), scaled)
        return grad_q, grad_k, grad_v, None


def _tiles(q: Tensor, k: Tensor, number: int) -> Iterator[tuple[slice, list[Tensor]]]:
    """Rows of q, each time with the same ``number`` buffers of (P, rows, M)."""
    pairs, count, keys = q.shape[0], q.shape[1], k.shape[1]
    size = max(1, min(count, max(_MIN_ROWS, _TILE // max(pairs * keys, 1))))
    # One allocation for all tiles: new pages would cost more than the exponentials.
    buffers = [q.new_empty(pairs * size * keys) for _ in range(number)]
    for start in range(0, count, size):
        rows = min(size, count - start)
        used = [b[: pairs * rows * keys].view(pairs, rows, keys) for b in buffers]
        yield slice(start, start + rows), used
