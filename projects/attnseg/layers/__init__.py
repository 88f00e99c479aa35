"""Pure torch blocks shared by the rooms; one primitive a file."""

from attnseg.layers.attention import pixel_attention, pool_tokens, to_map, to_tokens
from attnseg.layers.mask_attention import MaskAttention

__all__ = ["MaskAttention", "pixel_attention", "pool_tokens", "to_map", "to_tokens"]
