"""Position-wise attention block: each place gathers the features of all others.

The equations that we follow have no scale on the logits, and their source warns of overflow;
``scale="one"`` is as written, ``"sqrt"`` that of transformers. What they leave open: no norm and
no activation stand between the convolutions, since none is drawn; the convolution of the keys has
no bias, since a bias there adds the same to all logits of a row, which the softmax cancels. The
source calls C "pseudo key"; it is the value.
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.layers.attention import pixel_attention, to_map, to_tokens
from attnseg.layers.precision import without_autocast

SCALES = ("one", "sqrt")


class PositionAttentionBlock(BaseModule):
    """O = Conv3x3(alpha * O' + I0) with O'_j = sum_i P_ji C_i and P_ji = softmax_i(A_i . B_j).

    I0 is a 3x3 convolution of the input; A, B and C are 1x1 convolutions of I0. Projections and
    attention run in float32 also under autocast: the products A . B have no bound, and float16
    ends at 65504.

    Args:
        in_channels: channels of the input map.
        channels: channels of I0, C and the output; 512 in the paper.
        attention_channels: channels d of A and B; 64 in the paper.
        scale: ``"one"`` as written, or ``"sqrt"`` for logits divided by sqrt(d).
        init_cfg: initialisation of mmengine.

    Raises:
        ValueError: for an unknown scale or channels below 1.

    Source:
        Fan et al., *MA-Net: A Multi-Scale Attention Network for Liver and Tumor Segmentation*;
        equations as above, from a restatement of that paper.
    """

    is_block = True

    def __init__(
        self,
        in_channels: int,
        channels: int = 512,
        attention_channels: int = 64,
        scale: str = "one",
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if scale not in SCALES:
            raise ValueError(f"scale '{scale}' is unknown; choose one of {', '.join(SCALES)}")
        if min(in_channels, channels, attention_channels) < 1:
            raise ValueError(
                "in_channels, channels and attention_channels must be at least 1, got "
                f"{in_channels}, {channels} and {attention_channels}"
            )
        self.scale = 1.0 if scale == "one" else attention_channels**-0.5
        self.input_conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.key = nn.Conv2d(channels, attention_channels, 1, bias=False)
        self.query = nn.Conv2d(channels, attention_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.output_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H, W)."""
        x = self.input_conv(x)
        with without_autocast(x):
            x = x.to(self.alpha.dtype)
            x = torch.addcmul(x, self.alpha, self.attend(x))
        return self.output_conv(x)

    def attend(self, x: Tensor) -> Tensor:
        """O' (B, channels, H, W) of the map I0 (B, channels, H, W), in its precision."""
        q, k, v = (to_tokens(conv(x))[:, None] for conv in (self.query, self.key, self.value))
        return to_map(pixel_attention(q, k, v, scale=self.scale)[:, 0], x.shape[-2:])
