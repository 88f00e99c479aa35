"""Losses: pure functions of tensors and thin registered modules."""

from attnseg.losses.contrastive import InstanceContrastiveLoss
from attnseg.losses.functional import instance_contrastive
from attnseg.losses.logsumexp import pairwise_logsumexp

__all__ = ["InstanceContrastiveLoss", "instance_contrastive", "pairwise_logsumexp"]
