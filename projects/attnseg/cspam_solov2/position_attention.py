"""Position attention module of CSPAM-SOLOv2 (Sec. 2.1, Fig. 3).

Where the paper is silent or differs from our choice:

- It says that one 1x1 convolution reduces C to C/8 and that a reshape then gives P, A and M. Were
  all three one map, P^T A would be symmetric; we take three convolutions, as DANet does.
- T1, "the reduced-dimensional feature map", is then M before the attention.
- T2 has C - C/8 channels, so that the concatenation has C; a last 1x1 convolution merges it.
- The softmax runs over the pixels of A, for each pixel of P: rows sum to 1.
- It names no residual. We add one, and T2 starts at zero beside theta: the module starts as the
  identity, and a backbone with it as the backbone without. Were the last convolution zero as well
  as theta, neither would get a gradient.
- It names neither norms nor biases: there are no norms; P and M have biases, A has none (it would
  cancel in the softmax), and T2 and the last convolution have none.
- P^T A is not normalised. In float16 it overflows, so attention is computed in float32 at least.
"""

import math

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.layers.attention import pixel_attention, to_map, to_tokens
from attnseg.layers.precision import without_autocast
from attnseg.registry import MODELS


@MODELS.register_module()
class PositionAttentionModule(BaseModule):
    """``x + Conv1x1(concat[theta * T1, T2])`` with T2 from attention over all pixels.

    T2 = Conv1x1(softmax(scale * P^T A) M), T1 = M; theta is a learned number that starts at 0.
    Weight decay pulls theta towards its start; exclude it (``custom_keys={'theta':
    dict(decay_mult=0)}``) where that matters. No N x N tensor is made.

    Args:
        in_channels: C, a multiple of ``reduction``.
        reduction: C over the channels of P, A and M.
        scale: factor of the logits, above 0; 'sqrt' for 1 / sqrt(C / reduction).
        init_cfg: see mmengine's BaseModule; the default sets T2 to zero again after a parent
            initialised all convolutions.

    Raises:
        ValueError: if ``reduction`` is no whole number, does not divide C or leaves T2 nothing,
            or ``scale`` is neither a positive finite number nor 'sqrt'.

    Source:
        Liu and Kong, *Real-Time Instance Segmentation Method Based on Location Attention*,
        Sec. 2.1 and Fig. 3.
    """

    # Name as a plugin of mmdet's and mmseg's ResNet.
    _abbr_ = "position_attn"

    is_block = True

    def __init__(
        self,
        in_channels: int,
        reduction: int = 8,
        scale: float | str = 1.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = {"type": "Constant", "val": 0, "override": {"name": "t2"}}
        super().__init__(init_cfg)
        if not isinstance(reduction, int) or isinstance(reduction, bool):
            raise ValueError(
                "reduction of PositionAttentionModule must be a whole number, as 8, "
                f"got {reduction!r}"
            )
        if reduction < 2 or in_channels % reduction:
            raise ValueError(
                f"position attention of {in_channels} channels with reduction {reduction}: "
                "reduction must be at least 2 and divide the channels"
            )
        width = in_channels // reduction
        self.scale = _factor(scale, width)
        self.p = nn.Conv2d(in_channels, width, 1)
        self.a = nn.Conv2d(in_channels, width, 1, bias=False)
        self.m = nn.Conv2d(in_channels, width, 1)
        self.t2 = nn.Conv2d(width, in_channels - width, 1, bias=False)
        self.fuse = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.theta = nn.Parameter(torch.zeros(1))
        nn.init.zeros_(self.t2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to a map of the same shape; any H and W."""
        m = self.m(x)
        attended = self._attend(self.p(x), self.a(x), m).to(m.dtype)
        merged = torch.cat([self.theta.to(m.dtype) * m, self.t2(attended)], 1)
        return x + self.fuse(merged)

    def _attend(self, p: Tensor, a: Tensor, m: Tensor) -> Tensor:
        exact = torch.promote_types(p.dtype, torch.float32)
        q, k, v = (to_tokens(t)[:, None].to(exact) for t in (p, a, m))
        with without_autocast(p):
            out = pixel_attention(q, k, v, scale=self.scale)
        return to_map(out[:, 0], (p.shape[2], p.shape[3]))


def _factor(scale: float | str, width: int) -> float:
    if scale == "sqrt":
        return width**-0.5
    number = isinstance(scale, (int, float)) and not isinstance(scale, bool)
    if not number or not 0 < scale < math.inf:
        raise ValueError(
            f"scale of PositionAttentionModule must be a number above 0 or 'sqrt', got {scale!r}"
        )
    return float(scale)
