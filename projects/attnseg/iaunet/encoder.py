"""A small U-Net encoder, for CPUs and embedded use."""

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.layers.conv_blocks import DoubleConv
from attnseg.registry import MODELS


@MODELS.register_module()
class UNetEncoder(BaseModule):
    """Convolutional encoder with as many maps as widths, each half the size of the one before.

    Args:
        in_channels: of the image.
        widths: channels of the maps, finest first.
        stem_stride: stride of the finest map: 4 as ResNets have it, 2 or 1 for small objects.
        blocks: residual double convolutions a stage.
        norm_cfg: norm layer of mmcv.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: if ``stem_stride`` is not 1, 2 or 4, or ``widths`` is empty.

    Source:
        Ours; the paper uses ResNets and Swin transformers.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128, 256),
        stem_stride: int = 4,
        blocks: int = 1,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if stem_stride not in (1, 2, 4):
            raise ValueError(f"stem_stride must be 1, 2 or 4, not {stem_stride}")
        if not widths:
            raise ValueError("widths must name the channels of at least one map")
        norm_cfg = norm_cfg or {"type": "BN"}
        first = widths[0]
        strides = {1: (1,), 2: (2,), 4: (2, 2)}[stem_stride]
        sources = (in_channels, *(first,) * (len(strides) - 1))
        self.stem = nn.Sequential(
            *(
                ConvModule(source, first, 3, stride=stride, padding=1, norm_cfg=norm_cfg)
                for source, stride in zip(sources, strides, strict=True)
            )
        )
        self.stages = nn.ModuleList()
        for index, width in enumerate(widths):
            source = widths[max(index - 1, 0)]
            stage: list[nn.Module] = []
            if index:
                stage.append(ConvModule(source, width, 3, stride=2, padding=1, norm_cfg=norm_cfg))
            stage += [
                DoubleConv(width, width, residual=True, norm_cfg=norm_cfg, act_cfg={"type": "ReLU"})
                for _ in range(blocks)
            ]
            self.stages.append(nn.Sequential(*stage))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, C, H, W) to maps, finest first; sizes are rounded up."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)
