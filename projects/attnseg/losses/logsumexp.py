"""Log-sum-exp of all pairwise products, linear in memory: the normaliser of contrastive losses."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnseg.layers.precision import without_autocast

# Rows and columns of one tile. On a CPU a tile has to stay in the second-level cache from the
# matrix product to the sums over it; a GPU only needs enough work in each launch.
_CPU_TILE = (256, 2048)
_CUDA_TILE = (4096, 4096)

# Largest |x_i . x_j| for which exp() of it, the sum over 2^30 of them and the reciprocal of that
# sum stay normal numbers, so that no maximum has to be subtracted.
_SAFE_EXPONENT = {torch.float32: 60.0, torch.float64: 600.0}


def pairwise_logsumexp(x: Tensor, block_size: int | None = None) -> Tensor:
    """Compute ``log sum_{j != i} exp(x_i . x_j)`` for each row i without an NxN tensor.

    Forward and backward go over tiles of the product matrix; backward computes them anew. While
    the exponents are provably small, each tile above the diagonal serves for its rows and, since
    the matrix is symmetric, for its columns too. Otherwise a running maximum is kept for each row.

    Args:
        x: Vectors (N, D), float32 or float64, N at least 2; any scale.
        block_size: Rows of one tile, at least 1; a good value for the device if not given.

    Returns:
        Tensor (N,) in the type of ``x``. It can be differentiated once.

    Raises:
        ValueError: If there are fewer than two rows or the block size is not positive.
        TypeError: If ``x`` is neither float32 nor float64.
    """
    if x.dtype not in _SAFE_EXPONENT:
        raise TypeError(f"pairwise_logsumexp needs float32 or float64, got {x.dtype}")
    if x.ndim != 2 or x.shape[0] < 2:
        raise ValueError(f"pairwise_logsumexp needs (N >= 2, D) vectors, got {tuple(x.shape)}")
    if block_size is not None and block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    rows, columns = _CUDA_TILE if x.is_cuda else _CPU_TILE
    if block_size is not None:
        rows, columns = block_size, max(block_size, columns)
    return _PairwiseLogSumExp.apply(x, rows, columns)


class _PairwiseLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: int, columns: int) -> Tensor:
        x = x.contiguous()
        # |x_i . x_j| <= max |x|^2 by Cauchy and Schwarz. A NaN compares false: the safe way.
        ctx.bounded = bool(x.square().sum(1).max() <= _SAFE_EXPONENT[x.dtype])
        ctx.tile = (rows, columns)
        with without_autocast(x):
            lse = _forward_bounded(x, rows, columns) if ctx.bounded else _forward(x, rows, columns)
        ctx.save_for_backward(x, lse)
        return lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, lse = ctx.saved_tensors
        run = _backward_bounded if ctx.bounded else _backward
        with without_autocast(x):
            return run(x, lse, grad, *ctx.tile), None, None


def _forward_bounded(x: Tensor, rows: int, columns: int) -> Tensor:
    n = x.shape[0]
    total = x.new_zeros(n)
    buffer = x.new_empty(rows * max(rows, columns))
    for i in range(0, n, rows):
        ri = slice(i, min(i + rows, n))
        square = _product(x[ri], x[ri], buffer).exp_()
        square.fill_diagonal_(0)
        total[ri] += square.sum(1)
        for j in range(ri.stop, n, columns):
            rj = slice(j, min(j + columns, n))
            tile = _product(x[ri], x[rj], buffer).exp_()
            total[ri] += tile.sum(1)
            total[rj] += tile.sum(0)
    return total.log_()


def _backward_bounded(x: Tensor, lse: Tensor, grad: Tensor, rows: int, columns: int) -> Tensor:
    # d/dx_i = sum_j exp(s_ij) (a_i + a_j) x_j with a_i = grad_i exp(-lse_i). Multiplying a tile
    # with [x, a x] gives both terms in one product and never scales the tile itself.
    n, d = x.shape
    a = (grad * (-lse).exp()).unsqueeze(1)
    both = torch.cat([x, a * x], dim=1)
    total = x.new_zeros(n, 2 * d)
    buffer = x.new_empty(rows * max(rows, columns))
    for i in range(0, n, rows):
        ri = slice(i, min(i + rows, n))
        square = _product(x[ri], x[ri], buffer).exp_()
        square.fill_diagonal_(0)
        total[ri].addmm_(square, both[ri])
        for j in range(ri.stop, n, columns):
            rj = slice(j, min(j + columns, n))
            tile = _product(x[ri], x[rj], buffer).exp_()
            total[ri].addmm_(tile, both[rj])
            total[rj].addmm_(tile.T, both[ri])
    return a * total[:, :d] + total[:, d:]


def _forward(x: Tensor, rows: int, columns: int) -> Tensor:
    n = x.shape[0]
    lse = x.new_empty(n)
    buffer = x.new_empty(rows * columns)
    for i in range(0, n, rows):
        ri = slice(i, min(i + rows, n))
        running = x.new_full((ri.stop - i,), -torch.inf)
        for j in range(0, n, columns):
            rj = slice(j, min(j + columns, n))
            tile = _product(x[ri], x[rj], buffer)
            _fill_self(tile, i, j, -torch.inf)
            running = torch.logaddexp(running, tile.logsumexp(1))
        lse[ri] = running
    return lse


def _backward(x: Tensor, lse: Tensor, grad: Tensor, rows: int, columns: int) -> Tensor:
    n = x.shape[0]
    total = torch.zeros_like(x)
    buffer = x.new_empty(rows * columns)
    for i in range(0, n, rows):
        ri = slice(i, min(i + rows, n))
        for j in range(0, n, columns):
            rj = slice(j, min(j + columns, n))
            tile = _product(x[ri], x[rj], buffer).sub_(lse[ri, None]).exp_()
            _fill_self(tile, i, j, 0)
            tile.mul_(grad[ri, None])
            total[ri].addmm_(tile, x[rj])
            total[rj].addmm_(tile.T, x[ri])
    return total


def _product(a: Tensor, b: Tensor, buffer: Tensor) -> Tensor:
    """Multiply a b^T into the front of a buffer that all tiles share."""
    out = buffer[: a.shape[0] * b.shape[0]].view(a.shape[0], b.shape[0])
    return torch.mm(a, b.T, out=out)


def _fill_self(tile: Tensor, i: int, j: int, value: float) -> None:
    """Overwrite the pairs of a pixel with itself in the tile whose corner is (i, j)."""
    offset = i - j
    if -tile.shape[0] < offset < tile.shape[1]:
        tile.diagonal(offset).fill_(value)
