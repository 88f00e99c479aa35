"""IAUNet as an mmdet detector."""

import logging

from mmdet.models.detectors import BaseDetector
from mmdet.structures import SampleList
from mmengine.logging import print_log
from torch import Tensor

from attnseg.iaunet.decoder_level import LevelMaps
from attnseg.iaunet.postprocess import PostprocessConfig, select, to_instances
from attnseg.iaunet.restore import restore
from attnseg.iaunet.sliding_window import Instances, predict_in_windows
from attnseg.iaunet.structures import MaskPrediction
from attnseg.registry import MODELS


@MODELS.register_module()
class IAUNet(BaseDetector):
    """Encoder of four maps and :class:`~attnseg.iaunet.head.IAUNetHead`.

    A prediction has ``pred_instances`` with labels, scores, bboxes and masks at the original
    size, bool (n, H, W) or, with ``rle=True``, as COCO RLEs (our metrics, writers and pictures
    take them; mmdet's own visualizer does not).

    Args:
        backbone: config of a backbone that gives four maps, finest first (ResNet, Swin or
            ``attnseg.UNetEncoder``).
        head: config of the head.
        train_cfg: unused by this detector, accepted because mmdet's configs carry it.
        test_cfg: values of :class:`~attnseg.iaunet.postprocess.PostprocessConfig`.
        data_preprocessor: see mmdet's BaseDetector; needs ``pad_mask=True``.
        init_cfg: see mmdet's BaseDetector.

    Raises:
        ValueError: for a ``test_cfg`` that has unknown keys or values out of range.
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
        self.postprocess = PostprocessConfig.from_dict(test_cfg)
        if self.postprocess.max_per_img < self.head.num_queries:
            print_log(
                f"test_cfg.max_per_img={self.postprocess.max_per_img} is below head.num_queries="
                f"{self.head.num_queries}: the rest is never given. Raise max_per_img.",
                "current",
                logging.WARNING,
            )

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps of the encoder, finest first."""
        return self.backbone(batch_inputs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of the head."""
        return self.head.loss(self.extract_feat(batch_inputs), batch_data_samples)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None
    ) -> MaskPrediction:
        """Class logits (B, N, K + 1) and mask logits (B, N, h, w)."""
        return self.head(self.extract_feat(batch_inputs))[-1]

    def explain(self, batch_inputs: Tensor) -> tuple[MaskPrediction, list[LevelMaps]]:
        """Predict, and give the maps that each level looked at, coarsest level first."""
        trace: list[LevelMaps] = []
        return self.head(self.extract_feat(batch_inputs), trace)[-1], trace

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Add ``pred_instances`` at the original size (or, without ``rescale``, the input's)."""
        cfg = self.postprocess
        sizes = [(s.ori_shape if rescale else s.img_shape)[:2] for s in batch_data_samples]
        if cfg.windows is not None:
            for sample, image, size in zip(batch_data_samples, batch_inputs, sizes, strict=True):
                height, width = sample.img_shape[:2]
                sample.pred_instances = predict_in_windows(
                    self._predict_windows,
                    image[:, :height, :width],
                    size,
                    cfg.windows,
                    cfg.nms_iou,
                    cfg.rle,
                )
            return batch_data_samples
        padded = (batch_inputs.shape[2], batch_inputs.shape[3])
        for sample, size, *logits in zip(
            batch_data_samples, sizes, *self._forward(batch_inputs), strict=True
        ):
            selected = select(*logits, cfg)
            sample.pred_instances = to_instances(selected, padded, sample.img_shape[:2], size, cfg)
        return batch_data_samples

    def _predict_windows(self, windows: Tensor) -> list[Instances]:
        size = (windows.shape[2], windows.shape[3])
        found = []
        for logits in zip(*self._forward(windows), strict=True):
            labels, scores, masks = select(*logits, self.postprocess)
            masks = restore(masks, size, size, size, self.postprocess.mask_thr)
            found.append(Instances(masks, labels, scores))
        return found
