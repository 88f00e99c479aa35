"""Multi-head attention between two sets of tokens."""

import torch
from torch import Tensor, nn

from attnseg.layers.attention import pixel_attention


class MultiHeadAttention(nn.Module):
    """Projections around :func:`attnseg.layers.attention.pixel_attention`.

    ``torch.nn.MultiheadAttention`` in training mode, without dropout and masks, and with no way
    to keep the weights by accident; :meth:`weights` computes them where they are to be drawn.

    Args:
        channels: of queries, keys, values and output.
        num_heads: heads; must divide ``channels``.

    Raises:
        ValueError: if the heads do not divide the channels.

    Source:
        Vaswani et al., *Attention Is All You Need*, Sec. 3.2.2.
    """

    def __init__(self, channels: int, num_heads: int = 8) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"{channels} channels cannot be shared by {num_heads} heads")
        self.num_heads = num_heads
        self.query = nn.Linear(channels, channels)
        # A bias of the keys adds the same to all logits of a row, which the softmax cancels.
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels)
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.query, self.value, self.proj):
            nn.init.zeros_(layer.bias)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from (B, N, C) to keys and values (B, M, C); gives (B, N, C)."""
        q, k, v = self.query(query), self.key(key), self.value(value)
        attended = pixel_attention(self._split(q), self._split(k), self._split(v))
        return self.proj(attended.transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Attention of each query to each key, mean over heads, (B, N, M); rows sum to 1.

        For drawing only: this is the dense matrix that :meth:`forward` never holds.
        """
        q, k = self._split(self.query(query)), self._split(self.key(key))
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return torch.softmax(logits.float(), -1).mean(1)
