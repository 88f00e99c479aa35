"""Cross-stage partial structure: half of the channels go around the blocks of a stage.

CSPNet names several places for its 1x1 transitions. This is its "fusion first" form with a single
transition after the concatenation, and the channels are sliced, as in the text, instead of being
projected twice, as in the published networks: it adds the fewest multiplications.
"""

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn


class CrossStage(BaseModule):
    """Run blocks on a part of the channels, and merge them with the rest by a 1x1 convolution.

    ``act(norm(Conv1x1(concat[kept, blocks(taken)])))``, where ``taken`` are the last channels.

    Args:
        blocks: of :attr:`width` channels in and out, which keep the size of the map. For its own
            initialisation to be asked for, an mmengine module.
        channels: C of the input and output.
        ratio: share of the channels that goes through the blocks, in (0, 1); ``ratio * channels``
            is a whole number.
        conv_cfg: convolution of mmcv.
        norm_cfg: norm layer of mmcv; batch norm if None.
        act_cfg: activation of mmcv; ReLU if None.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: if ``ratio`` leaves no channel on one side, or splits one.

    Source:
        Wang et al., *CSPNet: A New Backbone that can Enhance Learning Capability of CNN*, Sec. 3.1
        and Fig. 3(c).
    """

    def __init__(
        self,
        blocks: nn.Module,
        channels: int,
        ratio: float = 0.5,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.width = taken_channels(channels, ratio)
        self.kept = channels - self.width
        self.blocks = blocks
        self.transition = ConvModule(
            channels,
            channels,
            1,
            conv_cfg=conv_cfg,
            norm_cfg=norm_cfg or {"type": "BN"},
            act_cfg=act_cfg or {"type": "ReLU"},
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to a map of the same shape."""
        kept, taken = x.split([self.kept, self.width], 1)
        return self.transition(torch.cat([kept, self.blocks(taken)], 1))


def taken_channels(channels: int, ratio: float) -> int:
    """Channels that go through the blocks: ``ratio * channels``.

    Raises:
        ValueError: if that is no whole number between 1 and ``channels - 1``.
    """
    width = round(channels * ratio)
    if not 0 < width < channels or abs(width - channels * ratio) > 1e-6:
        raise ValueError(
            f"ratio {ratio} of {channels} channels gives {channels * ratio:g}: it must be a whole "
            f"number from 1 to {channels - 1}, as with ratio=0.5 of an even number of channels"
        )
    return width
