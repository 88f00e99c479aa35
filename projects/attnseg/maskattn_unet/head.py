"""Class logits and instance embeddings of every pixel, with their losses."""

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.maskattn_unet import targets
from attnseg.registry import MODELS

IGNORE = 255


def _coordinates(x: Tensor) -> Tensor:
    """Rows and columns from the centre as two more channels (B, 2, H, W).

    A unit is 64 pixels, so that a map of 128x128 spans -1 to 1 and a larger one has the same
    slope, which is what tells neighbours apart.
    """
    rows, cols = (
        (torch.arange(n, device=x.device, dtype=x.dtype) - (n - 1) / 2) / 64 for n in x.shape[2:]
    )
    grid = torch.stack(torch.meshgrid(rows, cols, indexing="ij"))
    return grid.expand(x.shape[0], -1, -1, -1)


@MODELS.register_module()
class PixelEmbeddingHead(BaseModule):
    """Class logits and unit embeddings of each pixel (Sec. 3.3), for instances and panoptics.

    With ``task='instance'`` there is one more logit, the background, after the
    ``num_things`` classes; with ``task='panoptic'`` the ``num_stuff`` classes follow the things.

    The published code has an embedding branch in one of its nine scripts only, without
    normalisation, and trains logits with a triplet loss on wrongly indexed pixels; this head
    follows the paper: cross-entropy (Eq. 3) plus lambda x instance contrastive loss (Eq. 4 to 7)
    on thing pixels. The "classification loss terms for each predicted instance" of Sec. 4.2
    are not defined there and are left out: an instance takes the class of its pixels.

    Args:
        in_channels: channels of the finest map.
        num_things: number of thing classes.
        num_stuff: number of stuff classes; 0 for instances.
        task: ``instance`` or ``panoptic``.
        embed_dim: length of the embedding.
        embed_channels: hidden channels of the embedding branch.
        embed_kernel: side of its first convolution.
        with_coords: give the embedding branch the pixel's coordinates. A translation
            equivariant network cannot tell two equal objects apart without them.
        norm_cfg: norm of the embedding branch.
        loss_cls: pixel classification loss with ``ignore_index``.
        loss_instance: loss on (B, D, H, W) embeddings and (B, H, W) instance maps; its
            ``loss_weight`` is the paper's lambda.
        init_cfg: see mmengine's BaseModule.

    Raises:
        ValueError: for an unknown task, or stuff classes with ``task='instance'``.
    """

    def __init__(
        self,
        in_channels: int,
        num_things: int,
        num_stuff: int = 0,
        task: str = "panoptic",
        embed_dim: int = 16,
        embed_channels: int = 64,
        embed_kernel: int = 1,
        with_coords: bool = False,
        norm_cfg: dict | None = None,
        loss_cls: dict | None = None,
        loss_instance: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if task not in ("instance", "panoptic"):
            raise ValueError(f"task '{task}' is unknown; choose 'instance' or 'panoptic'")
        if task == "instance" and num_stuff:
            raise ValueError("task 'instance' has no stuff classes: set num_stuff=0")
        self.task = task
        self.num_things = num_things
        self.num_classes = num_things + num_stuff
        self.with_coords = with_coords
        self.classify = nn.Conv2d(in_channels, self.num_classes + (task == "instance"), 1)
        self.embed = nn.Sequential(
            nn.Conv2d(
                in_channels + 2 * with_coords,
                embed_channels,
                embed_kernel,
                padding=embed_kernel // 2,
                bias=False,
            ),
            build_norm_layer(norm_cfg or {"type": "BN"}, embed_channels)[1],
            nn.GELU(),
            nn.Conv2d(embed_channels, embed_dim, 1),
        )
        self.loss_cls = MODELS.build(
            loss_cls or {"type": "mmseg.CrossEntropyLoss", "avg_non_ignore": True}
        )
        self.loss_instance = MODELS.build(
            loss_instance or {"type": "attnseg.InstanceContrastiveLoss", "loss_weight": 0.5}
        )

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Maps, finest first, to logits (B, K, H, W) and unit embeddings (B, D, H, W)."""
        x = feats[0]
        embedding_input = torch.cat([x, _coordinates(x)], 1) if self.with_coords else x
        embedding = self.embed(embedding_input)
        return self.classify(x), F.normalize(embedding.float(), dim=1, eps=1e-6)

    def loss(self, feats: tuple[Tensor, ...], samples: SampleList) -> dict[str, Tensor]:
        """Losses of a batch; each keeps its graph when there is no object at all."""
        logits, embedding = self(feats)
        size = logits.shape[-2:]
        pairs = [self._targets(sample, size, logits.device) for sample in samples]
        semantic = torch.stack([pair[0] for pair in pairs])
        instances = torch.stack([pair[1] for pair in pairs])
        return {
            "loss_cls": self.loss_cls(logits.float(), semantic, ignore_index=IGNORE),
            "loss_instance": self.loss_instance(embedding, instances),
        }

    def _targets(
        self, sample: object, size: torch.Size, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        truth = sample.gt_instances
        masks = _dense(truth.masks, size, device)
        instances = targets.instance_map(masks)
        if self.task == "panoptic":
            semantic = sample.gt_sem_seg.sem_seg.squeeze(0).long().to(device)
        else:
            semantic = targets.semantic_map(instances, truth.labels, self.num_classes)
            if "ignored_instances" in sample and len(sample.ignored_instances):
                crowd = _dense(sample.ignored_instances.masks, size, device).any(0)
                semantic[crowd & (instances == targets.NO_INSTANCE)] = IGNORE
            semantic = targets.ignore_outside(semantic, sample.img_shape, IGNORE)
        return semantic, instances


def _dense(masks: object, size: torch.Size, device: torch.device) -> Tensor:
    """Masks of mmdet (n, h, w) as a bool tensor of the batch's size."""
    dense = masks.to_tensor(torch.bool, device)
    missing = (size[0] - dense.shape[1], size[1] - dense.shape[2])
    return F.pad(dense, (0, missing[1], 0, missing[0])) if any(missing) else dense
