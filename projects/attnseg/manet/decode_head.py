"""MA-Net's decoder as a decode head of mmseg, over any backbone that gives several maps.

The source fixes the position attention's widths (512 and 64) and no other; the widths of the
decoder and the reduction are those of a common implementation. Its figure ends at the input's
size: ``upsample_blocks`` says how many doublings without a skip follow the last fusion, and the
rest of the way logits are enlarged, as mmseg does.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from attnseg.errors import InputError
from attnseg.layers.conv_blocks import DoubleConv
from attnseg.manet.fusion_attention import FusionAttentionBlock
from attnseg.manet.position_attention import PositionAttentionBlock
from attnseg.registry import MODELS


@MODELS.register_module()
class MANetHead(BaseDecodeHead):
    """Position attention on the deepest map, fusion attention with each other, classifier.

    Args:
        in_channels: channels of the backbone's maps, from the highest to the lowest resolution;
            at least two.
        decoder_channels: output channels of each fusion block, from the deepest on, then those of
            each upsampling block: ``len(in_channels) - 1 + upsample_blocks`` numbers, of which
            the last are the channels that are classified. None: 256, halved each time, at least
            16.
        in_index: places of these maps among the backbone's outputs; the first
            ``len(in_channels)`` if None.
        pab_channels: channels of the position attention block.
        attention_channels: channels of its queries and keys.
        scale: ``"one"`` or ``"sqrt"``, see :class:`PositionAttentionBlock`.
        reduction: of the channel weights, see :class:`FusionAttentionBlock`.
        shared: one pair of layers for both channel weights of a fusion block.
        upsample_blocks: double convolutions at the end, each after an enlargement by 2.
        norm_cfg: norm layer of mmcv; ``BN`` if None.
        kwargs: those of mmseg's ``BaseDecodeHead`` but ``channels`` and ``input_transform``, such
            as ``num_classes``, ``loss_decode``, ``dropout_ratio``, ``act_cfg``.

    Raises:
        ValueError: if lengths do not fit each other or an argument is out of its range.

    Source:
        Fan et al., *MA-Net: A Multi-Scale Attention Network for Liver and Tumor Segmentation*,
        as a restatement of that paper describes it.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        decoder_channels: Sequence[int] | None = None,
        *,
        in_index: Sequence[int] | None = None,
        pab_channels: int = 512,
        attention_channels: int = 64,
        scale: str = "one",
        reduction: int = 16,
        shared: bool = False,
        upsample_blocks: int = 0,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_channels(in_channels, in_index, upsample_blocks, kwargs)
        count = len(in_channels) - 1 + upsample_blocks
        if decoder_channels is None:
            decoder_channels = [max(256 >> i, 16) for i in range(count)]
        if len(decoder_channels) != count:
            raise ValueError(
                f"decoder_channels needs {count} numbers, one for each of {len(in_channels) - 1} "
                f"skips and {upsample_blocks} upsample_blocks, got {list(decoder_channels)}"
            )
        super().__init__(
            list(in_channels),
            decoder_channels[-1],
            in_index=list(range(len(in_channels)) if in_index is None else in_index),
            input_transform="multiple_select",
            norm_cfg=norm_cfg or {"type": "BN"},
            **kwargs,
        )
        self.position = PositionAttentionBlock(
            in_channels[-1], pab_channels, attention_channels, scale
        )
        cfgs = {"norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}
        widths = [pab_channels, *decoder_channels]
        skips = list(in_channels[-2::-1])
        self.fusions = nn.ModuleList(
            FusionAttentionBlock(high, skip, out, reduction, shared, **cfgs)
            for high, skip, out in zip(widths, skips, widths[1:], strict=False)
        )
        rest = widths[len(skips) :]
        self.upsamplings = nn.ModuleList(
            DoubleConv(a, b, **cfgs) for a, b in zip(rest, rest[1:], strict=False)
        )

    @staticmethod
    def _check_channels(
        in_channels: Sequence[int],
        in_index: Sequence[int] | None,
        upsample_blocks: int,
        others: dict,
    ) -> None:
        if isinstance(in_channels, int) or len(in_channels) < 2:
            raise ValueError(
                "in_channels needs the channels of at least two maps, from the highest to the "
                f"lowest resolution, got {in_channels}"
            )
        indices = () if in_index is None else in_index
        if isinstance(indices, int) or (in_index is not None and len(indices) != len(in_channels)):
            raise ValueError(
                f"in_index needs {len(in_channels)} places, one for each of in_channels, "
                f"got {in_index}"
            )
        if upsample_blocks < 0:
            raise ValueError(f"upsample_blocks must be at least 0, got {upsample_blocks}")
        for key in ("channels", "input_transform"):
            if key in others:
                raise ValueError(
                    f"MANetHead takes no '{key}': decoder_channels and in_index say it; remove it"
                )

    def _transform_inputs(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        places = range(-len(inputs), len(inputs))
        if any(i not in places for i in self.in_index):
            raise InputError(
                f"in_index {self.in_index} names maps that the backbone does not give: it gives "
                f"{len(inputs)}; set in_index, or out_indices of the backbone"
            )
        maps = [inputs[i] for i in self.in_index]
        if (found := [m.shape[1] for m in maps]) != list(self.in_channels):
            raise InputError(
                f"in_channels is {list(self.in_channels)}, but the backbone's maps at in_index "
                f"{self.in_index} have {found} channels; set in_channels to these"
            )
        sizes = [m.shape[-2:] for m in maps]
        if any(a[0] < b[0] or a[1] < b[1] for a, b in zip(sizes, sizes[1:], strict=False)):
            raise InputError(
                "in_index must go from the highest to the lowest resolution, but the maps are "
                f"{' '.join(f'{h}x{w}' for h, w in sizes)}; turn in_index and in_channels around"
            )
        return maps

    def forward_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """The map before the classifier, (B, decoder_channels[-1], H, W).

        H, W are those of the first chosen map times 2 ** ``upsample_blocks``.
        """
        *skips, deepest = self._transform_inputs(inputs)
        x = self.position(deepest)
        for fusion, skip in zip(self.fusions, reversed(skips), strict=True):
            x = fusion(x, skip)
        for block in self.upsamplings:
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"))
        return x

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes or 1, H, W) of a backbone's maps, see `forward_features`.

        Raises:
            ValueError: if the maps do not fit ``in_channels`` and ``in_index``.
        """
        return self.cls_seg(self.forward_features(inputs))
