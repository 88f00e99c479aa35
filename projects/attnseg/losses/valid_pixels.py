"""What the losses of padded mask batches share: checks, precision, means over valid pixels."""

import torch
from torch import Tensor

from attnseg.losses.mask_losses import full_precision


def prepare(
    name: str, logits: Tensor, target: Tensor, valid: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Check the shapes and bring all to one floating type.

    Args:
        name: of the loss, for the error.
        logits: (B, 1, H, W), any floating type; half precision becomes float32.
        target: the same shape, 0 or 1, any type.
        valid: the same shape, bool, or None for all.

    Returns:
        Logits, target and valid (1 or 0), all of the logits' new type. Where ``valid`` is 0,
        logits and target are 0, whatever they were, and no gradient reaches the logits.

    Raises:
        ValueError: if a shape differs.
    """
    shapes = [tuple(t.shape) for t in (logits, target, valid) if t is not None]
    if logits.ndim != 4 or logits.shape[1] != 1 or len(set(shapes)) != 1:
        raise ValueError(
            f"{name} expects logits, target and valid of one shape (B, 1, H, W), got {shapes}"
        )
    logits = full_precision(logits)
    target = target.to(logits.dtype)
    if valid is None:
        return logits, target, torch.ones_like(target)
    outside = valid == 0
    logits, target = (t.masked_fill(outside, 0) for t in (logits, target))
    return logits, target, outside.logical_not().to(logits.dtype)


def valid_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the values (B, 1, H, W) over the valid pixels of the batch; 0 if there are none."""
    return (values * valid).sum() / valid.sum().clamp(min=1)
