"""Dice of the region that a mask covers, as NeuralSegmentello trains with it."""

import torch
from torch import Tensor, nn

from attnseg.layers.precision import without_autocast
from attnseg.losses.mask_losses import mask_dice_loss
from attnseg.losses.valid_pixels import prepare
from attnseg.registry import MODELS


def region_dice(
    logits: Tensor, target: Tensor, valid: Tensor | None = None, per_image: bool = False
) -> Tensor:
    """Compute ``1 - (2 sum p t + 1) / (sum p + sum t + 1)``, p the sigmoid.

    The sums run over all valid pixels of the batch, as in the published code (the paper gives no
    formula), whose batches hold one image. An empty target gives ``1 - 1 / (sum p + 1)``, a full
    one is like any other; a batch without valid pixels gives 0.

    Args:
        logits: (B, 1, H, W), any floating type; float64 stays, all else is float32.
        target: (B, 1, H, W), 0 or 1.
        valid: (B, 1, H, W), bool, False in the padding; None if there is none.
        per_image: sum over each image alone and take the mean, so that small objects count as
            much as large ones.

    Returns:
        Scalar, 0 to 1.

    Raises:
        ValueError: if a shape differs.
    """
    with without_autocast(logits):
        logits, target, keep = prepare("region_dice", logits, target, valid)
        # A logit of minus infinity has no probability and no gradient.
        logits = logits.masked_fill(keep == 0, -torch.inf)
        rows = len(logits) if per_image else 1
        return mask_dice_loss(logits.reshape(rows, -1), target.reshape(rows, -1)).mean()


@MODELS.register_module()
class RegionDiceLoss(nn.Module):
    """:func:`region_dice` with a weight; mmdet's and mmseg's ``DiceLoss`` differ from it.

    Args:
        loss_weight: factor of the loss.
        per_image: see :func:`region_dice`.
        loss_name: name in the log.
    """

    def __init__(
        self, loss_weight: float = 1.0, per_image: bool = False, loss_name: str = "loss_dice"
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.per_image = per_image
        self.loss_name = loss_name

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute the loss; shapes as in :func:`region_dice`."""
        return self.loss_weight * region_dice(logits, target, valid, self.per_image)
