"""Losses: pure functions of tensors and thin registered modules."""

from attnseg.losses.adaptive_minimum import AdaptiveMinimumLoss
from attnseg.losses.boundary import DistanceBoundaryLoss, SobelBoundaryLoss
from attnseg.losses.contrastive import InstanceContrastiveLoss
from attnseg.losses.functional import instance_contrastive
from attnseg.losses.logsumexp import pairwise_logsumexp
from attnseg.losses.mask_bce import MaskBCELoss
from attnseg.losses.mask_losses import (
    full_precision,
    mask_bce_loss,
    mask_dice_loss,
    pairwise_bce_cost,
    pairwise_dice_cost,
)
from attnseg.losses.mask_sums import soft_mask_sums
from attnseg.losses.region_dice import RegionDiceLoss

__all__ = [
    "AdaptiveMinimumLoss",
    "DistanceBoundaryLoss",
    "InstanceContrastiveLoss",
    "MaskBCELoss",
    "RegionDiceLoss",
    "SobelBoundaryLoss",
    "full_precision",
    "instance_contrastive",
    "mask_bce_loss",
    "mask_dice_loss",
    "pairwise_bce_cost",
    "pairwise_dice_cost",
    "pairwise_logsumexp",
    "soft_mask_sums",
]
