"""Mask attention (MaskAttn-UNet, Sec. 3.2)."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.layers.attention import (
    pixel_attention,
    pool_tokens,
    pooled_size,
    to_map,
    to_tokens,
)
from attnseg.registry import MODELS

MASK_MODES = ("dynamic", "static", "binary", "random", "none")


@MODELS.register_module()
class MaskAttention(BaseModule):
    """Multi-head attention whose logits carry a mask M over the keys, then an FFN.

    ``A = X + Proj(softmax(QK^T / sqrt(d) + M) V)`` (Eq. 1 with the residual of the text) and
    ``A_out = FFN(A) + A`` (Eq. 2). The paper names no norm; a LayerNorm over channels stands
    before Q, K, V and before the FFN, so any size works and the residual path stays free.

    The paper calls M "a learnable (or dynamically computed) mask", "binary" and a term added
    to the logits; in the published code it is a random 50 % key mask that is drawn once,
    never trained and never saved. We follow the paper; the modes are its readings:

    - ``dynamic``: M = log sigmoid(w x_key), one logit a head, computed from X.
    - ``static``: M = log sigmoid of a learned map, resized bilinearly to the key map.
    - ``binary``: keys whose dynamic logit is above 0 (at least one in each row); the
      gradient is that of ``dynamic`` (straight-through).
    - ``random``: a Bernoulli key mask for each image while training, none at test time:
      what the published code comes to.
    - ``none``: plain self-attention.

    Args:
        in_channels: channels C of the map, a multiple of ``num_heads``.
        num_heads: attention heads.
        mask_mode: one of the modes above.
        kv_stride: keys and values are averaged over cells of this side; the published layer
            has 1, which costs 34 GMAC at 128x128 and 64 channels.
        ffn_ratio: hidden width of the FFN over C; 0 leaves the FFN out.
        keep_prob: share of keys kept by ``random``, in (0, 1].
        static_size: (h, w) of the learned map of ``static``.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: for an unknown mode, channels that the heads do not divide, or a value out of
            range.
    """

    _abbr_ = "mask_attn"

    is_block = True

    def __init__(
        self,
        in_channels: int,
        num_heads: int = 4,
        mask_mode: str = "dynamic",
        kv_stride: int = 1,
        ffn_ratio: float = 2.0,
        keep_prob: float = 0.5,
        static_size: tuple[int, int] = (16, 16),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if mask_mode not in MASK_MODES:
            raise ValueError(f"mask_mode '{mask_mode}' is unknown; choose from {MASK_MODES}")
        if in_channels % num_heads:
            raise ValueError(f"{in_channels} channels cannot be shared by {num_heads} heads")
        if not 0 < keep_prob <= 1:
            raise ValueError(f"keep_prob must lie in (0, 1], got {keep_prob}")
        if kv_stride < 1:
            raise ValueError(f"kv_stride must be at least 1, got {kv_stride}")
        self.num_heads = num_heads
        self.mask_mode = mask_mode
        self.kv_stride = kv_stride
        self.keep_prob = keep_prob
        self.norm = nn.LayerNorm(in_channels)
        # A bias of the keys cancels in the softmax, one of the values is that of `proj`.
        self.query = nn.Linear(in_channels, in_channels, bias=False)
        self.key_value = nn.Linear(in_channels, 2 * in_channels, bias=False)
        self.proj = nn.Linear(in_channels, in_channels)
        if mask_mode in ("dynamic", "binary"):
            self.mask_logit = nn.Linear(in_channels, num_heads)
        elif mask_mode == "static":
            self.mask_map = nn.Parameter(torch.ones(1, num_heads, *static_size))
        self.ffn = None
        if ffn_ratio > 0:
            hidden = int(in_channels * ffn_ratio)
            self.ffn = nn.Sequential(
                nn.LayerNorm(in_channels),
                nn.Linear(in_channels, hidden),
                nn.GELU(),
                nn.Linear(hidden, in_channels),
            )
        # Small weights, as in vision transformers: the layer starts close to the identity.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if mask_mode in ("dynamic", "binary"):
            nn.init.ones_(self.mask_logit.bias)

    def mask_logits(self, keys: Tensor, size: tuple[int, int]) -> Tensor | None:
        """Logits of the mask, (B, heads, M), for key tokens (B, M, C) of a map of this size.

        None where the mode has no learned mask.
        """
        if self.mask_mode in ("dynamic", "binary"):
            return self.mask_logit(keys).transpose(1, 2)
        if self.mask_mode == "static":
            logits = F.interpolate(self.mask_map, size, mode="bilinear", align_corners=False)
            return logits.flatten(2).expand(keys.shape[0], -1, -1)
        return None

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        return tokens.view(batch, count, self.num_heads, channels // self.num_heads).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, logits: Tensor | None) -> Tensor:
        if self.mask_mode == "random" and self.training:
            keep = torch.rand(len(k), k.shape[2], device=k.device) < self.keep_prob
            return pixel_attention(q, k, v, key_keep=keep)
        if logits is None:
            return pixel_attention(q, k, v)
        if self.mask_mode == "binary":
            keep = (logits > 0) | (logits == logits.amax(-1, keepdim=True))
            if not self.training:
                return pixel_attention(q, k, v, key_keep=keep)
            soft = pixel_attention(q, k, v, key_bias=F.logsigmoid(logits))
            with torch.no_grad():
                hard = pixel_attention(q, k, v, key_keep=keep)
            return soft + (hard - soft).detach()
        return pixel_attention(q, k, v, key_bias=F.logsigmoid(logits))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to a map of the same shape; any H and W."""
        size = (x.shape[2], x.shape[3])
        tokens = to_tokens(x)
        normed = self.norm(tokens)
        # Averaging commutes with the linear projections and is cheaper before them.
        keys = pool_tokens(normed, size, self.kv_stride)
        logits = self.mask_logits(keys, pooled_size(size, self.kv_stride))
        k, v = self.key_value(keys).chunk(2, -1)
        attended = self._attend(
            self._split(self.query(normed)), self._split(k), self._split(v), logits
        )
        tokens = tokens + self.proj(attended.transpose(1, 2).flatten(2))
        if self.ffn is not None:
            tokens = tokens + self.ffn(tokens)
        return to_map(tokens, size)
