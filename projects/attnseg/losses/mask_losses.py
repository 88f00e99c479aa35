"""Dice and cross-entropy of binary masks: per mask for training, pairwise for matching.

Rows are masks, columns are places: sampled points or pixels, P of them. Everything is computed in
float32 (float64 stays), also under autocast, since sums over thousands of places overflow in
float16 and lose their last digits in bfloat16.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from attnseg.layers.precision import without_autocast


def full_precision(x: Tensor) -> Tensor:
    """Bring half precision to float32; float32 and float64 stay."""
    return x if x.dtype == torch.float64 else x.float()


def mask_dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute ``1 - (2 sum p t + 1) / (sum p + sum t + 1)`` of each mask, p the sigmoid.

    Args:
        logits: (M, P), any floating type.
        targets: (M, P), 0 to 1, any type.

    Returns:
        (M,), each 0 to 1. Without masks it is empty and connected to ``logits``, so that its sum
        is a zero with a gradient of zero.

    Raises:
        ValueError: If the shapes differ or are not two-dimensional.
    """
    _check_rows("mask_dice_loss", logits, targets)
    with without_autocast(logits):
        logits = full_precision(logits)
        targets = targets.to(logits.dtype)
        p = logits.sigmoid()
        # A product of rows keeps p and t alone for the backward pass, not p * t as well.
        overlap = torch.linalg.vecdot(p, targets)
        return 1 - (2 * overlap + 1) / (p.sum(1) + targets.sum(1) + 1)


def mask_bce_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the binary cross-entropy of each mask, as a mean over its places.

    Args:
        logits: (M, P), any floating type.
        targets: (M, P), 0 to 1, any type.

    Returns:
        (M,), not negative; for no masks see :func:`mask_dice_loss`.

    Raises:
        ValueError: If the shapes differ or are not two-dimensional.
    """
    _check_rows("mask_bce_loss", logits, targets)
    with without_autocast(logits):
        logits = full_precision(logits)
        targets = targets.to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)


def pairwise_dice_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute :func:`mask_dice_loss` of each prediction with each truth by matrix products.

    As ``(sum p (1 - t) + sum (1 - p) t) / (sum p + sum t + 1)``, which is the same: some
    processors add up the thousands of terms of a product one by one, and what that rounds would
    be a great part of a small cost that is left of 1.

    Args:
        logits: (N, P), any floating type.
        targets: (M, P), 0 to 1, any type.

    Returns:
        (N, M), each 0 to 1.

    Raises:
        ValueError: If the numbers of places differ.
    """
    _check_pairs("pairwise_dice_cost", logits, targets)
    with without_autocast(logits):
        logits = full_precision(logits)
        p, targets = logits.sigmoid(), targets.to(logits.dtype)
        missed = p @ (1 - targets).T + (-logits).sigmoid() @ targets.T
        return missed / (p.sum(1)[:, None] + targets.sum(1) + 1)


def pairwise_bce_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute :func:`mask_bce_loss` of each prediction with each truth as one matrix product.

    The cross-entropy of a logit x with a target t is ``softplus(x) - x t``: the first term
    belongs to the prediction alone, the second is a product.

    Args:
        logits: (N, P), any floating type.
        targets: (M, P), 0 to 1, any type.

    Returns:
        (N, M), not negative up to rounding.

    Raises:
        ValueError: If the numbers of places differ.
    """
    _check_pairs("pairwise_bce_cost", logits, targets)
    with without_autocast(logits):
        logits = full_precision(logits)
        targets = targets.to(logits.dtype)
        return F.softplus(logits).mean(1)[:, None] - logits @ targets.T / logits.shape[1]


def _check_rows(name: str, logits: Tensor, targets: Tensor) -> None:
    if logits.ndim != 2 or logits.shape != targets.shape:
        raise ValueError(
            f"{name} expects logits and targets of one shape (M, P), got {tuple(logits.shape)} "
            f"and {tuple(targets.shape)}; flatten masks with .flatten(1)"
        )


def _check_pairs(name: str, logits: Tensor, targets: Tensor) -> None:
    if logits.ndim != 2 or targets.ndim != 2 or logits.shape[1] != targets.shape[1]:
        raise ValueError(
            f"{name} expects logits (N, P) and targets (M, P), got {tuple(logits.shape)} and "
            f"{tuple(targets.shape)}; flatten masks with .flatten(1)"
        )
