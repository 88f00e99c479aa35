"""Parallel dual-path transformer decoder: pixels and queries refine each other (paper, Sec. 6)."""

import torch
from torch import Tensor, nn

from attnseg.layers import MultiHeadAttention, recompute

PIXEL_UPDATES = ("both", "instance", "none")
# Pixels of a block of the feed-forward whose hidden layer is computed again.
_BLOCK = 4096


class FeedForward(nn.Module):
    """Linear, ReLU, Linear, residual, LayerNorm on tokens (B, N, C)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) to tokens of the same shape."""
        return self.norm(x + self.body(x))


class CrossAttention(nn.Module):
    """Attention with residual and LayerNorm; positions are added to queries and keys only."""

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.attend = MultiHeadAttention(channels, num_heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, x_pos: Tensor, other: Tensor, other_pos: Tensor) -> Tensor:
        """Update tokens x (B, N, C) from ``other`` (B, M, C)."""
        return self.norm(x + self.attend(x + x_pos, other + other_pos, other))


class DualPathLayer(nn.Module):
    """Pixel features look at the queries, then the queries at the pixels and at each other.

    The parallel paths are: mask pixels <- queries, instance pixels <- queries (Eq. 2, Sec. 6.2);
    then queries <- instance pixels, self-attention, feed-forward (Sec. 6.3). Eq. 2 has neither
    1/sqrt(d) nor norms; both are here, as in the published code (post-norm).

    Args:
        channels: of pixels and queries.
        num_heads: of all attentions.
        pixel_hidden: width of the feed-forward on pixels.
        query_hidden: width of the feed-forward on queries.
        pixel_update: which pixels are updated, ``both``, ``instance`` or ``none``.
        with_cp: compute the pixel update again in the backward pass, for less memory.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        pixel_hidden: int,
        query_hidden: int,
        pixel_update: str,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        updated = {"both": ("mask", "instance"), "instance": ("instance",), "none": ()}
        self.pixel_attention = nn.ModuleDict(
            {name: CrossAttention(channels, num_heads) for name in updated[pixel_update]}
        )
        self.pixel_ffn = nn.ModuleDict(
            {name: FeedForward(channels, pixel_hidden) for name in updated[pixel_update]}
        )
        self.cross = CrossAttention(channels, num_heads)
        self.self_attention = CrossAttention(channels, num_heads)
        self.ffn = FeedForward(channels, query_hidden)

    def forward(
        self, queries: Tensor, query_pos: Tensor, mask: Tensor, instance: Tensor, pixel_pos: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update queries (B, M, C), mask and instance pixels (B, H*W, C), returned in this order.

        Args:
            queries: (B, M, C).
            query_pos: positions of the queries (1, M, C).
            mask: mask features as tokens (B, H*W, C).
            instance: instance features as tokens (B, H*W, C).
            pixel_pos: positions of the pixels (1, H*W, C).
        """
        pixels = {"mask": mask, "instance": instance}
        for name, attention in self.pixel_attention.items():
            seen = (pixels[name], pixel_pos, queries, query_pos)
            ffn = self.pixel_ffn[name]
            if self.with_cp:
                x = recompute(attention, *seen, owner=attention)
                blocks = [recompute(ffn, block, owner=ffn) for block in x.split(_BLOCK, 1)]
                pixels[name] = torch.cat(blocks, 1)
            else:
                pixels[name] = ffn(attention(*seen))
        queries = self.cross(queries, query_pos, pixels["instance"], pixel_pos)
        queries = self.self_attention(queries, query_pos, queries, query_pos)
        return self.ffn(queries), pixels["mask"], pixels["instance"]

    def attention_maps(
        self, queries: Tensor, query_pos: Tensor, instance: Tensor, pixel_pos: Tensor
    ) -> Tensor:
        """Where queries look, (B, M, H*W), mean over heads, given the updated pixels; to draw."""
        return self.cross.attend.weights(queries + query_pos, instance + pixel_pos)
