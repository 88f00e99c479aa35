"""Sums over soft masks that dynamic kernels predict, without keeping the masks.

A loss of P masks of H x W pixels that writes each product out keeps several copies of P x H x W
numbers. The dice, its squared form and centroids only need sums that are linear in the masks, or
in their squares; so each chunk of pixels goes from features to sums while it is in the cache, and
the backward pass makes the chunk again.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnseg.layers.precision import without_autocast

# Numbers in a chunk: a few MiB, which a cache holds; on an accelerator enough to fill it.
_CHUNK = {"cpu": 2**19}
_CHUNK_ELSEWHERE = 2**25
_LEAST = 64


def soft_mask_sums(
    kernels: Tensor, features: Tensor, targets: Tensor, squares: bool = False
) -> tuple[Tensor, Tensor]:
    """Sum the masks ``m = sigmoid(kernels @ features)`` in every way that mask losses need.

    Args:
        kernels: (P, E) float32 or float64.
        features: (E, H, W) of the same type.
        targets: (O, H, W), 0 or 1, any type.
        squares: also sum m^2; a column of zeros otherwise.

    Returns:
        (P, O + 4): sum of m g for each target g, then of m, m x, m y and m^2; and (O, 3): sum of
        g, g x and g y, without gradient. x and y are pixel centres over width and height, 0 to 1.
        Differentiable once, by kernels and features.
    """
    return _SoftMaskSums.apply(kernels, features, targets, squares)


class _SoftMaskSums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: Tensor, features: Tensor, targets: Tensor, squares: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(kernels, features, targets)
        ctx.squares = squares
        objects = len(targets)
        sums = kernels.new_zeros(len(kernels), objects + 4)
        truth = kernels.new_zeros(objects, 3)
        with without_autocast(kernels):
            for pixels, weights in _chunks(kernels, features, targets):
                masks = (kernels @ pixels).sigmoid_()
                sums[:, :-1].addmm_(masks, weights.T)
                truth.addmm_(weights[:objects], weights[objects:].T)
                if squares:
                    sums[:, -1] += torch.linalg.vecdot(masks, masks)
        ctx.mark_non_differentiable(truth)
        return sums, truth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None]:
        kernels, features, targets = ctx.saved_tensors
        grad_kernels = torch.zeros_like(kernels)
        # Rows of pixels, whatever the strides of the features: `flat` has to be a view.
        grad_features = torch.empty_like(features, memory_format=torch.contiguous_format)
        flat = grad_features.flatten(1)
        start = 0
        with without_autocast(kernels):
            for pixels, weights in _chunks(kernels, features, targets):
                masks = (kernels @ pixels).sigmoid_()
                slope = grad[:, :-1] @ weights
                if ctx.squares:
                    slope.addcmul_(masks, grad[:, -1:], value=2)
                slope.mul_(masks).mul_(masks.neg_().add_(1))
                grad_kernels.addmm_(slope, pixels.T)
                flat[:, start : start + pixels.shape[1]] = kernels.T @ slope
                start += pixels.shape[1]
        return grad_kernels, grad_features, None, None


def _chunks(kernels: Tensor, features: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of pixels (E, T) with what they are summed by, (O + 3, T)."""
    height, width = features.shape[1:]
    count, objects = height * width, len(targets)
    budget = _CHUNK.get(kernels.device.type, _CHUNK_ELSEWHERE)
    size = max(budget // max(len(kernels), objects, features.shape[0]), _LEAST)
    flat, targets = features.flatten(1), targets.flatten(1)
    columns, rows = (
        torch.arange(side, device=kernels.device, dtype=kernels.dtype) for side in (width, height)
    )
    x = ((columns + 0.5) / width).repeat(height)
    y = ((rows + 0.5) / height).repeat_interleave(width)
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        weights = kernels.new_empty(objects + 3, part.stop - start)
        weights[:objects] = targets[:, part]
        weights[objects], weights[-2], weights[-1] = 1, x[part], y[part]
        yield flat[:, part], weights
