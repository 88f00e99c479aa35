"""Losses: pure functions of tensors and thin registered modules."""

from attnseg.losses.contrastive import InstanceContrastiveLoss
from attnseg.losses.functional import instance_contrastive
from attnseg.losses.logsumexp import pairwise_logsumexp
from attnseg.losses.mask_losses import (
    full_precision,
    mask_bce_loss,
    mask_dice_loss,
    pairwise_bce_cost,
    pairwise_dice_cost,
)

__all__ = [
    "InstanceContrastiveLoss",
    "full_precision",
    "instance_contrastive",
    "mask_bce_loss",
    "mask_dice_loss",
    "pairwise_bce_cost",
    "pairwise_dice_cost",
    "pairwise_logsumexp",
]
