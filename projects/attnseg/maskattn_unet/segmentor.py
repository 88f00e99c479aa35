"""MaskAttn-UNet for instance and panoptic segmentation as an mmdet detector."""

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import INSTANCE_OFFSET, DetDataSample, SampleList
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from attnseg.maskattn_unet.assembly import AssemblyConfig, assemble, merge_panoptic
from attnseg.registry import MODELS


@MODELS.register_module()
class PixelSegmentor(BaseDetector):
    """Backbone, optional neck and a pixel embedding head behind mmdet's detector interface.

    A prediction has ``pred_instances`` (masks bool (n, H, W), labels, scores, bboxes) and, with
    a panoptic head, ``pred_sem_seg.sem_seg`` and ``pred_panoptic_seg.sem_seg``, both (1, H, W);
    the panoptic map holds label + 1000 x instance number, void is the number of classes, as in
    mmdet's own panoptic detectors.

    Args:
        backbone: config of a backbone whose first map is the finest.
        head: config of a :class:`PixelEmbeddingHead`.
        neck: config of a neck.
        train_cfg: unused by this detector, accepted because mmdet's configs carry it.
        test_cfg: values of :class:`AssemblyConfig`.
        data_preprocessor: see mmdet's BaseDetector.
        init_cfg: see mmdet's BaseDetector.

    Raises:
        ValueError: if the head's ``in_channels`` are not those of the finest map.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else None
        _check_channels(backbone, neck, head, self.backbone)
        self.head = MODELS.build(head)
        self.assembly = AssemblyConfig.from_dict(test_cfg)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Feature maps, finest first."""
        feats = self.backbone(batch_inputs)
        return self.neck(feats) if self.neck is not None else feats

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of the head."""
        return self.head.loss(self.extract_feat(batch_inputs), batch_data_samples)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: SampleList | None = None
    ) -> tuple[Tensor, Tensor]:
        """Raw logits (B, K, H, W) and unit embeddings (B, D, H, W)."""
        return self.head(self.extract_feat(batch_inputs))

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Add predictions at the original size (or, without ``rescale``, the input's)."""
        logits, embedding = self._forward(batch_inputs)
        for sample, one_logits, one_embedding in zip(
            batch_data_samples, logits.float(), embedding, strict=True
        ):
            height, width = sample.img_shape[:2]
            self.add_prediction(
                sample,
                one_logits[:, :height, :width],
                one_embedding[:, :height, :width],
                tuple(sample.ori_shape[:2]) if rescale else (height, width),
            )
        return batch_data_samples

    def add_prediction(
        self, sample: DetDataSample, logits: Tensor, embedding: Tensor, size: tuple[int, int]
    ) -> None:
        """Group the maps of one image, (K, h, w) and (D, h, w), into predictions of a size."""
        head, device = self.head, logits.device
        result = assemble(logits, embedding, size, head.num_things, self.assembly)
        sample.pred_instances = InstanceData(
            masks=torch.as_tensor(result.masks(), device=device),
            labels=torch.as_tensor(result.labels, device=device),
            scores=torch.as_tensor(result.scores, device=device),
            bboxes=torch.as_tensor(result.boxes, device=device),
        )
        if head.task != "panoptic":
            return
        panoptic = merge_panoptic(
            result, head.num_things, head.num_classes, self.assembly, INSTANCE_OFFSET
        )
        sample.pred_sem_seg = PixelData(
            sem_seg=torch.as_tensor(result.semantic[None], device=device)
        )
        sample.pred_panoptic_seg = PixelData(sem_seg=torch.as_tensor(panoptic[None], device=device))


def _check_channels(backbone: dict, neck: dict | None, head: dict, built: object) -> None:
    given, channels = head.get("in_channels"), getattr(built, "out_channels", None)
    if neck is None and channels is not None and given != channels[0]:
        raise ValueError(
            f"head.in_channels is {given}, but the finest map of {backbone['type']} "
            f"(preset '{backbone.get('preset', 'paper')}') has {channels[0]} channels: set "
            f"head.in_channels={channels[0]}"
        )
