"""Multi-scale fusion attention block: a deep map, weighted by channel, joins a skip.

What the equations leave open: their symbols P1 and P2 stand for both branches, so the weights could
be shared; here each branch has its own squeeze-and-excitation, as other implementations have it,
and ``shared=True`` is the other reading. The deep map is enlarged after it was weighted, by
nearest neighbours. Each convolution is followed by norm and activation.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.layers.conv_blocks import DoubleConv


class FusionAttentionBlock(BaseModule):
    """Conv3x3(Conv3x3([z * X_H, X_L])) with z = z_H + z_L, channel weights of both maps.

    X_H is the deep map after a 3x3 convolution and a 1x1 one to the channels C of the skip X_L;
    z_H and z_L are sigmoid(P1 ReLU(P2 s)) of the maps' means s over all places.

    Args:
        high_channels: channels of the deep map.
        skip_channels: channels C of the skip.
        out_channels: channels of the output.
        reduction: r, by which the bottleneck of the channel weights is narrower than C (at
            least 1 wide).
        shared: one pair P1, P2 for both maps.
        norm_cfg: norm layer of mmcv; ``BN`` if None.
        act_cfg: activation layer of mmcv; ``ReLU`` if None.
        init_cfg: initialisation of mmengine.

    Raises:
        ValueError: for channels or a reduction below 1.

    Source:
        Fan et al., *MA-Net: A Multi-Scale Attention Network for Liver and Tumor Segmentation*;
        equations as above, from a restatement of that paper.
    """

    is_block = True

    def __init__(
        self,
        high_channels: int,
        skip_channels: int,
        out_channels: int,
        reduction: int = 16,
        shared: bool = False,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if min(high_channels, skip_channels, out_channels, reduction) < 1:
            raise ValueError(
                "high_channels, skip_channels, out_channels and reduction must be at least 1, got "
                f"{high_channels}, {skip_channels}, {out_channels} and {reduction}"
            )
        cfgs = {"norm_cfg": norm_cfg or {"type": "BN"}, "act_cfg": act_cfg or {"type": "ReLU"}}
        self.high_conv = nn.Sequential(
            ConvModule(high_channels, high_channels, 3, padding=1, **cfgs),
            ConvModule(high_channels, skip_channels, 1, **cfgs),
        )
        self.high_weights = channel_weights(skip_channels, reduction)
        self.skip_weights = (
            self.high_weights if shared else channel_weights(skip_channels, reduction)
        )
        self.fuse = DoubleConv(2 * skip_channels, out_channels, **cfgs)

    def forward(self, high: Tensor, skip: Tensor) -> Tensor:
        """Fuse (B, high_channels, h, w) and (B, C, H, W) into (B, out_channels, H, W)."""
        high = self.high_conv(high)
        z = self.high_weights(high) + self.skip_weights(skip)
        high = F.interpolate(high * z, size=skip.shape[-2:], mode="nearest")
        return self.fuse(torch.cat([high, skip], 1))


def channel_weights(channels: int, reduction: int) -> nn.Sequential:
    """Squeeze-and-excitation weights 0 to 1, from (B, C, H, W) to (B, C, 1, 1).

    Without norms, so that a single image can be trained on.
    """
    narrow = max(channels // reduction, 1)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, narrow, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(narrow, channels, 1),
        nn.Sigmoid(),
    )
