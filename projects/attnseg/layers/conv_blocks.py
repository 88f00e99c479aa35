"""Convolution blocks of the U-Nets."""

from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor, nn


class DoubleConv(nn.Module):
    """Conv3x3 - norm - act - Conv3x3 - norm [- act], optionally around a residual.

    Args:
        in_channels: channels of the input map.
        out_channels: channels of the output map.
        mid_channels: channels between the two convolutions; ``out_channels`` if None.
        residual: add the input before the last activation; needs equal channels.
        final_act: apply the activation at the end.
        norm_cfg: norm layer of mmcv.
        act_cfg: activation layer of mmcv.
        bias: give the convolutions a bias, which a norm over the batch would make idle.

    Raises:
        ValueError: for a residual with different channel counts.
    """

    is_block = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mid_channels: int | None = None,
        residual: bool = False,
        final_act: bool = True,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if residual and in_channels != out_channels:
            raise ValueError(
                f"a residual needs equal channels, got {in_channels} and {out_channels}"
            )
        norm_cfg = norm_cfg or {"type": "BN"}
        act_cfg = act_cfg or {"type": "GELU"}
        mid = mid_channels or out_channels
        self.residual = residual
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, mid, 3, padding=1, bias=bias),
            build_norm_layer(norm_cfg, mid)[1],
            build_activation_layer(act_cfg),
            nn.Conv2d(mid, out_channels, 3, padding=1, bias=bias),
            build_norm_layer(norm_cfg, out_channels)[1],
        )
        self.act = build_activation_layer(act_cfg) if final_act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H, W)."""
        y = self.body(x)
        return self.act(x + y if self.residual else y)
