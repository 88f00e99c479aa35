"""Pure torch blocks shared by the rooms; one primitive a file."""

from attnseg.layers.attention import pixel_attention, pool_tokens, to_map, to_tokens
from attnseg.layers.cross_stage import CrossStage
from attnseg.layers.mask_attention import MaskAttention
from attnseg.layers.mask_boxes import mask_boxes
from attnseg.layers.multi_head import MultiHeadAttention
from attnseg.layers.position import coordinates, sine_positions
from attnseg.recompute import recompute

__all__ = [
    "CrossStage",
    "MaskAttention",
    "MultiHeadAttention",
    "coordinates",
    "mask_boxes",
    "pixel_attention",
    "pool_tokens",
    "recompute",
    "sine_positions",
    "to_map",
    "to_tokens",
]
