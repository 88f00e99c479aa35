"""The U-Net of NeuralSegmentello (Sec. 2.3) with flags for its eight configurations.

Where paper and published code differ, this follows the code that the trained weights need:

- ``tiny`` has skip connections. The last published commit deletes them and then fails in its
  forward pass; the weights come from the commit before. ``skips=False`` is that net made to run.
- ``res`` adds the coarse mask, 0 or 1, to the logit, and nothing else. The residual connections
  inside the blocks that the paper describes do not exist.
- ``attn`` has attention gates and no residual, although its name says both.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.layers.conv_blocks import DoubleConv
from attnseg.mask_refine.attention_gate import AttentionGate
from attnseg.registry import MODELS


@MODELS.register_module()
class RefineUNet(BaseModule):
    """Logits of the exact mask from maps of the image and its coarse mask.

    Works at any size, one pixel included: pooling rounds down but never below one pixel, and a
    map from below is brought to the size of its skip by the nearest neighbour.

    Args:
        in_channels: channels of the input; the first is the coarse mask.
        widths: channels of each encoder level, finest first; the bottleneck has twice the last.
            (16, 32), (16, 32, 64, 128) and (32, 64, 128, 256) are published.
        skips: concatenate the encoder's maps in the decoder.
        coarse_residual: add the input's first channel to the logit (``res``).
        attention_gates: gate the skips (``attn``).
        num_groups: groups of the norms.
        init_cfg: see mmengine's BaseModule; torch's own start otherwise, as published.

    Raises:
        ValueError: for no widths, widths that do not split into the groups, or gates without
            skips.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (16, 32),
        skips: bool = True,
        coarse_residual: bool = False,
        attention_gates: bool = False,
        num_groups: int = 8,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check(in_channels, widths, skips, attention_gates, num_groups)
        self.in_channels = in_channels
        self.widths = tuple(widths)
        self.skips = skips
        self.coarse_residual = coarse_residual
        norm = {"type": "GN", "num_groups": num_groups}
        act = {"type": "ReLU", "inplace": True}

        def block(channels: int, out: int) -> nn.Module:
            return DoubleConv(channels, out, norm_cfg=norm, act_cfg=act, bias=True)

        entries = (in_channels, *widths)
        self.encoder = nn.ModuleList(map(block, entries, widths))
        width = 2 * widths[-1]
        self.bottleneck = block(widths[-1], width)
        self.upsample, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.gates = nn.ModuleList()
        for out in reversed(widths):
            self.upsample.append(nn.ConvTranspose2d(width, out, 2, stride=2))
            self.decoder.append(block(2 * out if skips else out, out))
            if attention_gates:
                self.gates.append(AttentionGate(out, num_groups))
            width = out
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, in_channels, H, W) to logits (B, 1, H, W)."""
        coarse, skips = x[:, :1], []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            x = F.max_pool2d(x, [min(2, side) for side in x.shape[-2:]])
        x = self.bottleneck(x)
        for level, (upsample, stage) in enumerate(zip(self.upsample, self.decoder, strict=True)):
            skip, x = skips.pop(), upsample(x)
            if self.gates:
                skip = self.gates[level](x, skip)
            if x.shape[-2:] != skip.shape[-2:]:
                x = F.interpolate(x, skip.shape[-2:], mode="nearest")
            x = stage(torch.cat([skip, x], 1) if self.skips else x)
        logits = self.head(x)
        return logits + coarse if self.coarse_residual else logits


def _check(
    in_channels: int, widths: Sequence[int], skips: bool, gates: bool, num_groups: int
) -> None:
    if in_channels < 1:
        raise ValueError(f"RefineUNet needs at least one input channel, got {in_channels}")
    if not widths or num_groups < 1 or any(w < 1 or w % num_groups for w in widths):
        raise ValueError(
            f"widths must be positive multiples of num_groups={num_groups}, one for each level, "
            f"got {tuple(widths)}"
        )
    if gates and not skips:
        raise ValueError("attention_gates weigh the skips: they need skips=True")
