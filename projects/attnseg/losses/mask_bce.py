"""Binary cross-entropy of mask batches with padding."""

import torch.nn.functional as F
from torch import Tensor, nn

from attnseg.layers.precision import without_autocast
from attnseg.losses.valid_pixels import prepare, valid_mean
from attnseg.registry import MODELS


def mask_bce(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy over the valid pixels of a batch.

    Empty and full targets are like any other; a batch without valid pixels gives 0.

    Args:
        logits: (B, 1, H, W), any floating type; float64 stays, all else is float32.
        target: (B, 1, H, W), 0 or 1.
        valid: (B, 1, H, W), bool, False in the padding; None if there is none.

    Returns:
        Scalar, not negative.

    Raises:
        ValueError: if a shape differs.
    """
    with without_autocast(logits):
        logits, target, keep = prepare("mask_bce", logits, target, valid)
        values = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return valid_mean(values, keep)


@MODELS.register_module()
class MaskBCELoss(nn.Module):
    """:func:`mask_bce` with a weight.

    Args:
        loss_weight: factor of the loss.
        loss_name: name in the log.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = "loss_bce") -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute the loss; shapes as in :func:`mask_bce`."""
        return self.loss_weight * mask_bce(logits, target, valid)
