"""Pixel decoder: a U-Net decoder with decoupled mask and instance branches (paper, Sec. 4)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmdet.models.layers import SELayer
from torch import Tensor, nn

from attnseg.layers import coordinates, recompute


class LevelFeatures(NamedTuple):
    """Maps of one level: main (B, C, H, W), mask and instance (B, D, H, W)."""

    main: Tensor
    mask: Tensor
    instance: Tensor


class DoubleDepthwise(nn.Module):
    """Twice (depth-wise 3x3, 1x1, norm, ReLU), around a 1x1 projection of the input.

    Args:
        in_channels: channels of the input map.
        out_channels: channels of the output map.
        norm_cfg: norm layer of mmcv.

    Source:
        Sec. 4, "double depth-wise convolution with residual connection".
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.body = nn.Sequential(
            separable(in_channels, out_channels, norm_cfg),
            separable(out_channels, out_channels, norm_cfg),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H, W)."""
        return self.body(x) + self.shortcut(x)


def separable(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Module:
    """Depth-wise 3x3 convolution, then 1x1 convolution, norm and ReLU."""
    return DepthwiseSeparableConvModule(
        in_channels,
        out_channels,
        3,
        padding=1,
        norm_cfg=norm_cfg,
        dw_norm_cfg=None,
        dw_act_cfg=None,
    )


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation to (H, W), pixel centres aligned."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class PixelDecoderLevel(nn.Module):
    """One level: main features from below and the skip, then mask and instance features.

    Args:
        in_channels: channels of the main features from the level below; 0 at the coarsest.
        skip_channels: channels of the encoder's map.
        width: channels of the main features.
        channels: D of mask and instance features.
        with_coords: CoordConv on main and instance features.
        with_se: squeeze-and-excite behind the double convolution.
        full_branches: two 3x3 convolutions in both branches, as the paper has them, or a
            bottleneck.
        norm_cfg: norm layer of mmcv.
        with_cp: compute the branches again in the backward pass, for less memory.

    Source:
        Sec. 4 and Fig. 1c. CoordConv and squeeze-and-excite stand in the published code only.
        That code interpolates with aligned corners, which shifts maps of different sizes against
        each other; pixel centres are aligned here.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        width: int,
        channels: int,
        with_coords: bool,
        with_se: bool,
        full_branches: bool,
        norm_cfg: dict,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        extra = 2 * with_coords
        self.with_cp = with_cp
        self.with_coords = with_coords
        self.main = DoubleDepthwise(in_channels + skip_channels + extra, width, norm_cfg)
        self.excite = SELayer(width, ratio=2, act_cfg=_SE_ACTS) if with_se else nn.Identity()
        previous = channels if in_channels else 0
        self.mask = _branch(width + previous, channels, full_branches, norm_cfg)
        self.instance = _branch(width + previous + extra, channels, full_branches, norm_cfg)

    def _with_coords(self, *maps: Tensor) -> Tensor:
        return torch.cat([coordinates(maps[0]), *maps] if self.with_coords else maps, 1)

    def _mask_branch(self, *maps: Tensor) -> Tensor:
        return self.mask(self._join(maps))

    def _instance_branch(self, *maps: Tensor) -> Tensor:
        return self.instance(self._with_coords(self._join(maps)))

    @staticmethod
    def _join(maps: tuple[Tensor, ...]) -> Tensor:
        """Main features (B, C, H, W) and those of the level below, if any, enlarged."""
        size = (maps[0].shape[2], maps[0].shape[3])
        return torch.cat([maps[0], *(upsample(part, size) for part in maps[1:])], 1)

    def forward(self, skip: Tensor, below: LevelFeatures | None = None) -> LevelFeatures:
        """Encoder map (B, C, H, W) and the refined features of the level below, if any."""
        size = (skip.shape[2], skip.shape[3])
        entering = (skip,) if below is None else (upsample(below.main, size), skip)
        x = self.excite(self.main(self._with_coords(*entering)))
        results = [x]
        for run, name in ((self._mask_branch, "mask"), (self._instance_branch, "instance")):
            maps = (x,) if below is None else (x, getattr(below, name))
            results.append(recompute(run, *maps, owner=self) if self.with_cp else run(*maps))
        return LevelFeatures(*results)


_SE_ACTS = ({"type": "ReLU"}, {"type": "Sigmoid"})


def _branch(in_channels: int, channels: int, full: bool, norm_cfg: dict) -> nn.Module:
    """Two 3x3 convolutions, or one of half the width between two 1x1 convolutions.

    Two depth-wise separable convolutions would have a little less work than the bottleneck, and
    take longer on a CPU.
    """
    if full:
        shape = ((in_channels, channels, 3), (channels, channels, 3))
    else:
        half = channels // 2
        shape = ((in_channels, half, 1), (half, half, 3), (half, channels, 1))
    return nn.Sequential(
        *(
            ConvModule(source, width, kernel, padding=kernel // 2, norm_cfg=norm_cfg)
            for source, width, kernel in shape
        )
    )
