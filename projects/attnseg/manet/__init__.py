"""MA-Net: a decoder with position-wise and multi-scale fusion attention."""

import attnseg.registry  # noqa: F401  (sets the stack up before mmdet's models are imported)
from attnseg.manet.decode_head import MANetHead
from attnseg.manet.fusion_attention import FusionAttentionBlock
from attnseg.manet.position_attention import PositionAttentionBlock

__all__ = ["FusionAttentionBlock", "MANetHead", "PositionAttentionBlock"]
