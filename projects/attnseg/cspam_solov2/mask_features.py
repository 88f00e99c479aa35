"""CSMF: cross-stage mask feature fusion (CSPAM-SOLOv2, Sec. 2.2, Fig. 4).

SOLOv2 brings all levels to 1/4 of the image and adds them. CSMF leaves out the branch of the last
level, whose map P5 joins two others. Where the paper is silent, we follow:

- Deep branch: P5, upsampled 2x and with two channels of coordinates (CoordConv stands in the figure
  without a place; SOLOv2 has it on the last level), is concatenated with N4; a 1x1 convolution
  "reduces the computation". From there on, and for levels between, as in SOLOv2: 3x3 convolutions
  with a bilinear upsampling after each.
- Guidance: P5, upsampled 8x, "forms a global semantic guide to P2" by an addition after a 1x1
  convolution; P2 is N2. Convolving first and upsampling then is the same for a 64th of the work.
- P5 is the top-down map. N5 is not used.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_conv_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.errors import InputError
from attnseg.layers.position import coordinates
from attnseg.registry import MODELS


@MODELS.register_module()
class CSMF(BaseModule):
    """Mask features at the size of the finest level; in the place of SOLOv2's branch.

    ``pred(Conv3x3(N2 + Conv1x1(up8(P5))) + up(Conv3x3(N3)) + deep(concat[up2(P5), xy, N4]))``,
    where ``deep`` is a 1x1 and, for each further level down, 3x3 and up. Sizes need not halve
    exactly: maps are resized to the levels they join.

    Args:
        in_channels: of all input maps.
        feat_channels: of the branches.
        start_level: index of the finest level used.
        end_level: index of the level of P5, at least ``start_level`` + 2; the map at that index is
            not used unless it is ``top_index``.
        out_channels: of the mask features.
        mask_stride: stride of the finest level against the image; kept for heads, which read it.
        conv_cfg: convolution of mmcv.
        norm_cfg: norm layer of mmcv; none if None.
        init_cfg: see mmengine's BaseModule; SOLOv2's normal distribution if None.
        top_index: where P5 stands among the inputs: -1 for :class:`attnseg.cspam_solov2.TWFPN`
            with ``with_top``. A plain FPN needs ``end_level``, where its own P5 stands.

    Raises:
        ValueError: if there are too few levels; from the forward pass if there are too few maps,
            ``top_index`` means a map before ``end_level`` (or that one, counted from the end), or
            P5 has not the size of its level.

    Source:
        Liu and Kong, *Real-Time Instance Segmentation Method Based on Location Attention*,
        Sec. 2.2 and Fig. 4; Wang et al., *SOLOv2: Dynamic and Fast Instance Segmentation*.
    """

    def __init__(
        self,
        in_channels: int,
        feat_channels: int,
        start_level: int,
        end_level: int,
        out_channels: int,
        mask_stride: int = 4,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
        top_index: int = -1,
    ) -> None:
        super().__init__(init_cfg or {"type": "Normal", "layer": "Conv2d", "std": 0.01})
        if start_level < 0 or end_level < start_level + 2:
            raise ValueError(
                f"CSMF joins at least three levels: end_level {end_level} must be at least "
                f"start_level {start_level} + 2, as 0 and 3 for P2 to P5"
            )
        self.start_level, self.end_level = start_level, end_level
        self.mask_stride, self.top_index = mask_stride, top_index
        self.out_channels = out_channels

        def conv(source: int, target: int, kernel: int) -> nn.Sequential:
            layers = {"conv_cfg": conv_cfg, "norm_cfg": norm_cfg, "padding": kernel // 2}
            # Not bare: mmengine would ask it to initialise itself, past init_cfg.
            return nn.Sequential(ConvModule(source, target, kernel, **layers))

        between = range(1, end_level - start_level - 1)
        self.guide = build_conv_layer(conv_cfg, in_channels, in_channels, 1)
        self.shallow = conv(in_channels, feat_channels, 3)
        self.branches = nn.ModuleList(
            nn.ModuleList(
                conv(feat_channels if i else in_channels, feat_channels, 3) for i in range(n)
            )
            for n in between
        )
        self.merge = conv(2 * in_channels + 2, feat_channels, 1)
        self.deep = nn.ModuleList(
            conv(feat_channels, feat_channels, 3) for _ in range(end_level - start_level - 1)
        )
        self.pred = conv(feat_channels, out_channels, 1)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Levels, finest first, (B, in_channels, H_i, W_i), to (B, out_channels, H, W).

        H and W are those of level ``start_level``.
        """
        self._check(inputs)
        *levels, last = inputs[self.start_level : self.end_level]
        top = inputs[self.top_index]
        sizes = [(x.shape[2], x.shape[3]) for x in levels]
        out = self.shallow(levels[0] + _resize(self.guide(top), sizes[0]))
        for branch, x in zip(self.branches, levels[1:], strict=True):
            out = out + _climb(branch, x, sizes)
        raised = _resize(top, (last.shape[2], last.shape[3]))
        x = self.merge(torch.cat([raised, coordinates(raised), last], 1))
        return self.pred(out + _climb(self.deep, x, sizes))

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        count, end, index = len(inputs), self.end_level, self.top_index
        if not -count <= index < count or count <= end:
            raise InputError(
                f"CSMF got {count} maps, too few for end_level {end} and top_index {index}; "
                "num_outs and with_top of the neck give more"
            )
        # Counted from the end, the map of the level itself is that of a neck without P5.
        if index % count < end or (index < 0 and index % count == end):
            below = "below" if index % count < end else "the last of the levels, at"
            raise InputError(
                f"CSMF: top_index {index} is map {index % count} of {count}, {below} end_level "
                f"{end}: set with_top=True of attnseg.TWFPN, or top_index={end} for a plain FPN"
            )
        if inputs[self.top_index].shape[2:] != inputs[end].shape[2:]:
            top, level = ("x".join(map(str, inputs[i].shape[2:])) for i in (self.top_index, end))
            raise InputError(
                f"CSMF: the map at top_index {self.top_index} is {top}, but level {end} is "
                f"{level}: set with_top=True of attnseg.TWFPN, or top_index={end}"
            )


def _climb(convs: nn.ModuleList, x: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Convolve and go one level down, as often as there are convolutions."""
    for conv, size in zip(convs, sizes[: len(convs)][::-1], strict=True):
        x = _resize(conv(x), size)
    return x


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
