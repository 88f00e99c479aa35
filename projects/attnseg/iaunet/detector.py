"""IAUNet as an mmdet detector."""

from typing import Any

from mmdet.models.detectors import BaseDetector
from mmdet.structures import SampleList
from torch import Tensor

from attnseg.registry import MODELS


@MODELS.register_module()
class IAUNet(BaseDetector):
    """Encoder of four maps and :class:`~attnseg.iaunet.head.IAUNetHead`.

    Args:
        backbone: config of a backbone that gives four maps, finest first (ResNet, Swin or
            ``attnseg.UNetEncoder``).
        head: config of the head.
        train_cfg: unused by this detector, accepted because mmdet's configs carry it.
        test_cfg: see ``PostprocessConfig``.
        data_preprocessor: see mmdet's BaseDetector; needs ``pad_mask=True``.
        init_cfg: see mmdet's BaseDetector.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps of the encoder, finest first."""
        return self.backbone(batch_inputs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of the head."""
        return self.head.loss(self.extract_feat(batch_inputs), batch_data_samples)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class logits (B, N, K + 1) and mask logits (B, N, h, w)."""
        return self.head(self.extract_feat(batch_inputs))[-1]

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Add ``pred_instances``."""
        raise AssertionError
