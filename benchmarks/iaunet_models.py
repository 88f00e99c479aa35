"""The models that ``iaunet.py`` compares, with random weights."""

from typing import Any

import torch
from torch import nn

from attnseg.compat import setup_env

LEAF = "iaunet/iaunet_{}_1xb8-16000i_revvity-instance-512x512.py"
PEER_CONFIG = "baselines/mask2former_r50_1xb8-16000i_revvity-instance-512x512.py"
PEER, RECOMPUTED = "Mask2Former-R50", "Mask2Former-R50, sampling recomputed"
FULL, FAST = "IAUNet-R50 full", "IAUNet-R50 fast"


def build(config: str, **head: Any) -> nn.Module:
    """A detector of a leaf with random weights, with other values for its head."""
    from mmengine.registry import init_default_scope

    from attnseg.apis.benchmark_inputs import read_model
    from attnseg.registry import MODELS

    setup_env()
    init_default_scope("mmdet")
    torch.manual_seed(0)
    cfg, _ = read_model(config)
    if head:
        cfg.head.update(head)
    return MODELS.build(cfg)


def build_named(name: str) -> nn.Module:
    """One of the models that are timed and trained."""
    if name.startswith("Mask2Former"):
        if name == RECOMPUTED:
            _recompute_sampling()
        return build(PEER_CONFIG)
    return build(LEAF.format("r50"), preset=name.rpartition(" ")[2])


def _recompute_sampling() -> None:
    from mmcv.ops import multi_scale_deform_attn
    from torch.utils.checkpoint import checkpoint

    original = multi_scale_deform_attn.multi_scale_deformable_attn_pytorch

    def recomputed(*args: Any) -> torch.Tensor:
        return checkpoint(original, *args, use_reentrant=False)

    multi_scale_deform_attn.multi_scale_deformable_attn_pytorch = recomputed
