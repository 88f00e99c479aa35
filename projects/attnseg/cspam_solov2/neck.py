"""TWFPN: feature pyramid with a bottom-up path (CSPAM-SOLOv2, Sec. 2.2).

The paper says "bottom-up information flow" and shows N2 to N5 without the layers of that path. We
take PANet's: N2 = P2, N(i+1) = Conv3x3(Conv3x3 of stride 2(N(i)) + P(i+1)). mmdet's PAFPN differs:
it leads the sum on, before its 3x3. Names of the layers are those of PAFPN.
"""

from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.necks.fpn import FPN
from torch import Tensor, nn

from attnseg.errors import InputError
from attnseg.registry import MODELS


@MODELS.register_module()
class TWFPN(FPN):
    """FPN and a bottom-up path over its levels, for any number of levels and any detector.

    Extra levels are made as FPN makes them, of N in the place of P; 'on_lateral' takes the
    top-down map, and 'on_input' the input.

    Args:
        in_channels: of the maps of the backbone, finest first.
        out_channels: of all levels.
        num_outs: number of levels, extra ones included, and without the top.
        conv_cfg: convolution of mmcv.
        norm_cfg: norm layer of mmcv; none if None.
        act_cfg: activation of mmcv; none if None.
        with_top: append P of the last level that comes from the backbone, before the bottom-up
            path, to what is returned. :class:`attnseg.cspam_solov2.CSMF` wants it.
        **fpn: the other arguments of mmdet's FPN, such as ``start_level`` and ``add_extra_convs``.

    Raises:
        ValueError: if ``num_outs`` is below the levels that come from the backbone, or the
            backbone's maps are not those of ``in_channels``.

    Source:
        Liu and Kong, *Real-Time Instance Segmentation Method Based on Location Attention*,
        Sec. 2.2 and Fig. 4; Liu et al., *Path Aggregation Network for Instance Segmentation*,
        Sec. 3.1.
    """

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int,
        num_outs: int,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        with_top: bool = False,
        **fpn: Any,
    ) -> None:
        _check(len(in_channels), num_outs, fpn.get("start_level", 0), fpn.get("end_level", -1))
        layer = {"conv_cfg": conv_cfg, "norm_cfg": norm_cfg, "act_cfg": act_cfg}
        super().__init__(list(in_channels), out_channels, num_outs, **layer, **fpn)
        self.with_top = with_top
        # As the layers of FPN.
        layer |= {"kernel_size": 3, "padding": 1, "inplace": False}
        steps = range(len(self.lateral_convs) - 1)
        self.downsample_convs = nn.ModuleList(
            ConvModule(out_channels, out_channels, stride=2, **layer) for _ in steps
        )
        self.pafpn_convs = nn.ModuleList(
            ConvModule(out_channels, out_channels, **layer) for _ in steps
        )

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Maps of the backbone, (B, C_i, H_i, W_i), to ``num_outs`` maps, finest first.

        Sizes are those of the inputs, also where these do not halve exactly; extra levels are
        halved, rounding up. With ``with_top`` one more map stands at the end, of the size of the
        last input that is used.

        Raises:
            InputError: The number of maps or their channels are not those of ``in_channels``.
        """
        if len(inputs) != self.num_ins:
            raise InputError(
                f"TWFPN got {len(inputs)} maps for in_channels of {self.num_ins}: make both agree, "
                "as with out_indices of the backbone"
            )
        channels = [x.shape[1] for x in inputs]
        if channels != self.in_channels:
            raise InputError(
                f"TWFPN: in_channels is {self.in_channels}, the backbone's maps have {channels}: "
                "set in_channels to these"
            )
        laterals = self._top_down(inputs)
        convs = self.fpn_convs[: len(laterals)]
        tops = [conv(lateral) for conv, lateral in zip(convs, laterals, strict=True)]
        outs = self._bottom_up(tops)
        outs += self._extra_levels(inputs[self.backbone_end_level - 1], laterals[-1], outs[-1])
        return (*outs, tops[-1]) if self.with_top else tuple(outs)

    def _top_down(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        used = inputs[self.start_level : self.backbone_end_level]
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, used, strict=True)]
        fixed = "scale_factor" in self.upsample_cfg
        for i in range(len(laterals) - 1, 0, -1):
            size = {} if fixed else {"size": laterals[i - 1].shape[2:]}
            above = F.interpolate(laterals[i], **size, **self.upsample_cfg)
            laterals[i - 1] = laterals[i - 1] + above
        return laterals

    def _bottom_up(self, tops: list[Tensor]) -> list[Tensor]:
        outs = tops[:1]
        for down, conv, top in zip(self.downsample_convs, self.pafpn_convs, tops[1:], strict=True):
            below = down(outs[-1])
            # Dilated backbones, and those that round down.
            if below.shape != top.shape:
                below = F.interpolate(below, top.shape[2:])
            outs.append(conv(below + top))
        return outs

    def _extra_levels(self, last_input: Tensor, lateral: Tensor, last: Tensor) -> list[Tensor]:
        count, used = self.num_outs, len(self.lateral_convs)
        if not self.add_extra_convs:
            outs = [last]
            for _ in range(used, count):
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
            return outs[1:]
        sources = {"on_input": last_input, "on_lateral": lateral, "on_output": last}
        x, outs = sources[self.add_extra_convs], []
        for conv in self.fpn_convs[used:]:
            x = conv(F.relu(x) if outs and self.relu_before_extra_convs else x)
            outs.append(x)
        return outs


def _check(maps: int, num_outs: int, start: int, end: int) -> None:
    used = (maps if end == -1 else end + 1) - start
    if num_outs < used:
        raise ValueError(
            f"TWFPN: num_outs {num_outs} is below the {used} levels that come from the backbone: "
            "raise it, or set start_level or end_level"
        )
