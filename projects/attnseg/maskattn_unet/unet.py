"""The MaskAttn-UNet network (Sec. 3.1 and 4.1), a backbone for mmdet and mmseg."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.layers import MaskAttention
from attnseg.layers.conv_blocks import DoubleConv
from attnseg.maskattn_unet.presets import PRESETS, Preset
from attnseg.registry import MODELS

ATTENTION_PLACES = ("both", "encoder", "decoder", "none")


def _stage(
    in_channels: int, out_channels: int, preset: Preset, mid: int | None = None
) -> nn.Module:
    if not preset.residual_entry:
        return DoubleConv(in_channels, out_channels)
    return nn.Sequential(
        DoubleConv(in_channels, in_channels, residual=True),
        DoubleConv(in_channels, out_channels, mid, final_act=False),
    )


@MODELS.register_module()
class MaskAttnUNet(BaseModule):
    """U-Net with mask attention after its encoder and decoder stages.

    Works at any size from 32x32 up and with any number of channels. Its maps, finest first,
    are the decoder maps at strides 1, 2, 4, ... and then the bottleneck; ``out_indices``
    chooses, so that it serves mmseg's heads (stride 1) as well as mmdet's necks (several).

    The published network has three stages instead of the paper's four, views tokens as maps
    without the transpose, and fixes the input size by a LayerNorm over [64, 128, 128]
    (preset ``code`` is its topology with these mended). ``paper`` follows the text.

    Args:
        in_channels: channels of the image.
        preset: ``paper``, ``code`` or ``small``, see :data:`PRESETS`.
        attention: where attention stands: ``both``, ``encoder``, ``decoder`` or ``none`` (plain
            U-Net), as in Tables 5 and 6.
        mask_mode: mask of :class:`MaskAttention`; ``none`` is the self-attention U-Net of Table 7.
        num_heads: attention heads.
        channels: encoder channels in place of the preset's.
        decoder_channels: decoder channels in place of the preset's.
        kv_strides: key strides of the encoder stages, finest first, in place of the preset's;
            the decoder stage of the same size gets the same.
        out_indices: maps to return, 0 being the finest.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: for an unknown preset or place, a wrong number of channels, an index that
            names no map, or (when called) an input smaller than 32x32.
    """

    def __init__(
        self,
        in_channels: int = 3,
        preset: str = "paper",
        attention: str = "both",
        mask_mode: str = "dynamic",
        num_heads: int = 4,
        channels: Sequence[int] | None = None,
        decoder_channels: Sequence[int] | None = None,
        kv_strides: Sequence[int] | None = None,
        out_indices: Sequence[int] = (0,),
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if preset not in PRESETS:
            raise ValueError(f"preset '{preset}' is unknown; choose from {sorted(PRESETS)}")
        if attention not in ATTENTION_PLACES:
            raise ValueError(f"attention '{attention}' is unknown; choose from {ATTENTION_PLACES}")
        shape = _adapt(PRESETS[preset], channels, decoder_channels, kv_strides)
        self.in_channels = in_channels
        self._pool_bottleneck = shape.pool_bottleneck

        def attend(channels: int, stride: int, place: str, wanted: bool = True) -> nn.Module:
            if not wanted or attention not in ("both", place):
                return nn.Identity()
            return MaskAttention(
                channels, num_heads, mask_mode, kv_stride=stride, ffn_ratio=shape.ffn_ratio
            )

        self.encoder = nn.ModuleList()
        width = in_channels
        for i, out in enumerate(shape.channels):
            if i == 0:
                block: nn.Module = DoubleConv(width, out, final_act=not shape.residual_entry)
            else:
                block = _stage(width, out, shape)
            attn = attend(out, shape.encoder_strides[i], "encoder", shape.encoder_attention[i])
            self.encoder.append(nn.ModuleDict({"conv": block, "attn": attn}))
            width = out

        self.bottleneck = nn.Sequential()
        for out in shape.bottleneck:
            self.bottleneck.append(DoubleConv(width, out, final_act=not shape.residual_entry))
            width = out
        maps = [width]

        skips = shape.channels if shape.pool_bottleneck else shape.channels[:-1]
        self.decoder = nn.ModuleList()
        last = len(skips) - 1
        for i, (skip, out) in enumerate(zip(reversed(skips), shape.decoder, strict=True)):
            mid = (skip + width) // 2 if shape.residual_entry else None
            stage = {
                "conv": _stage(skip + width, out, shape, mid),
                "drop": nn.Dropout(shape.dropout if i < last else 0.0),
                "attn": attend(
                    out, shape.decoder_strides[i], "decoder", shape.decoder_attention[i]
                ),
            }
            self.decoder.append(nn.ModuleDict(stage))
            width = out
            maps.insert(0, width)

        self.out_indices = _check_indices(out_indices, len(maps))
        self.out_channels = tuple(maps[i] for i in self.out_indices)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, C, H, W) to the chosen maps, each (B, C_i, H/2^i, W/2^i) rounded down.

        Raises:
            ValueError: A side is shorter than 32 pixels.
        """
        if min(x.shape[-2:]) < 32:
            raise ValueError(
                f"MaskAttnUNet needs at least 32x32 pixels, got {tuple(x.shape[-2:])}; "
                "enlarge the image in the pipeline (Resize)"
            )
        skips: list[Tensor] = []
        for i, stage in enumerate(self.encoder):
            x = stage["attn"](stage["conv"](F.max_pool2d(x, 2) if i else x))
            skips.append(x)
        x = F.max_pool2d(x, 2) if self._pool_bottleneck else skips.pop()
        x = self.bottleneck(x)
        maps = [x]
        for stage in self.decoder:
            skip = skips.pop()
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = stage["conv"](torch.cat([skip, x], 1))
            x = stage["attn"](stage["drop"](x))
            maps.insert(0, x)
        return tuple(maps[i] for i in self.out_indices)


def _adapt(
    preset: Preset,
    channels: Sequence[int] | None,
    decoder_channels: Sequence[int] | None,
    kv_strides: Sequence[int] | None,
) -> Preset:
    changes: dict[str, tuple[int, ...]] = {}
    for name, value in (("channels", channels), ("decoder", decoder_channels)):
        if value is not None:
            expected = len(getattr(preset, name))
            if len(value) != expected:
                raise ValueError(f"{name} needs {expected} numbers, got {tuple(value)}")
            changes[name] = tuple(value)
    if kv_strides is not None:
        if len(kv_strides) != len(preset.channels):
            raise ValueError(
                f"kv_strides needs {len(preset.channels)} numbers, got {tuple(kv_strides)}"
            )
        changes["encoder_strides"] = tuple(kv_strides)
        levels = kv_strides if preset.pool_bottleneck else kv_strides[:-1]
        changes["decoder_strides"] = tuple(reversed(levels))
    return replace(preset, **changes)


def _check_indices(indices: Sequence[int], count: int) -> tuple[int, ...]:
    wrong = [i for i in indices if not 0 <= i < count]
    if wrong:
        raise ValueError(f"out_indices {wrong} name no map; there are maps 0 to {count - 1}")
    return tuple(indices)
