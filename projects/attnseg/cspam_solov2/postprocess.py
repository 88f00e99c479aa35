"""From kernels and scores of one image's cells to its instances, by SOLOv2's Matrix NMS.

Masks, scores and order are those of mmdet's ``SOLOV2Head``. Boxes are those of the masks (mmdet
returns zeros), and neither thousands of cells above the threshold, as early in a training, nor a
hundred masks of a large image ever make one tensor of all masks: masks are made in chunks, scored,
and only the ``nms_pre`` best are made again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.layers import mask_matrix_nms
from mmengine.structures import InstanceData
from torch import Tensor

from attnseg.layers.mask_boxes import mask_boxes
from attnseg.layers.precision import without_autocast

# Numbers of a chunk of masks: 64 MiB in float32.
_CHUNK = 2**24


@dataclass(frozen=True)
class PostprocessConfig:
    """Thresholds, under mmdet's names and with SOLOv2's values.

    Attributes:
        nms_pre: masks that enter Matrix NMS, best first; all if below 1.
        score_thr: class scores must be above it, from 0 to 1.
        mask_thr: probability above which a pixel belongs to a mask, from 0 to 1.
        filter_thr: scores after Matrix NMS must be at least it; no filter if not above 0.
        kernel: decay of Matrix NMS, ``gaussian`` or ``linear``.
        sigma: of the gaussian.
        max_per_img: instances of an image, best first; all if below 1.
    """

    nms_pre: int = 500
    score_thr: float = 0.1
    mask_thr: float = 0.5
    filter_thr: float = 0.05
    kernel: str = "gaussian"
    sigma: float = 2.0
    max_per_img: int = 100

    def __post_init__(self) -> None:
        if self.kernel not in ("gaussian", "linear"):
            raise ValueError(f"kernel '{self.kernel}' is unknown; choose gaussian or linear")
        for name in ("score_thr", "mask_thr"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PostprocessConfig":
        """Build from a head's ``test_cfg``.

        Raises:
            ValueError: for a key that is none of the attributes, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"test_cfg has unknown keys {unknown}; known are {known}")
        return cls(**values)


def local_maxima(scores: Tensor) -> Tensor:
    """Keep the scores (B, K, g, g) that are highest among themselves, left, upper, upper left."""
    highest = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return scores * (highest == scores)


@torch.no_grad()
def find_instances(
    kernels: Tensor,
    scores: Tensor,
    features: Tensor,
    strides: Tensor,
    mask_stride: int,
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    cfg: PostprocessConfig,
) -> InstanceData:
    """Make the instances of one image, in float32, also under autocast.

    Args:
        kernels: (N, E) of all cells.
        scores: (N, K) class scores of all cells, 0 to 1.
        features: (E, h, w) mask features.
        strides: (N,) pixels on the map that a cell's mask must exceed.
        mask_stride: of the mask features.
        img_shape: height and width without padding.
        ori_shape: height and width of the result.
        cfg: thresholds.

    Returns:
        ``scores`` (n,) best first, ``labels`` (n,) int64, ``masks`` (n, H, W) bool and ``bboxes``
        (n, 4) float32 as x1, y1, x2, y2 around the masks, zeros for a mask that vanishes there.

    Source:
        Wang et al., *SOLOv2*, Sec. 3.3.
    """
    # Products of half precision would move pixels across the threshold.
    with without_autocast(features):
        kernels, scores, features = (x.float() for x in (kernels, scores, features))
        cell, labels = (scores > cfg.score_thr).nonzero(as_tuple=True)
        scores = scores[cell, labels]
        used, owner = cell.unique(return_inverse=True)
        areas, maskness = _rate(kernels[used], features, cfg.mask_thr)
        large = (areas > strides[used])[owner]
        owner, labels = owner[large], labels[large]
        scores = scores[large] * maskness[owner]
        scores, order = scores.sort(descending=True)
        if cfg.nms_pre > 0:
            scores, order = scores[: cfg.nms_pre], order[: cfg.nms_pre]
        owner, labels = owner[order], labels[order]
        masks = features.new_zeros(len(owner), *features.shape[1:], dtype=torch.bool)
        for part, soft in _soft_masks(kernels[used[owner]], features):
            masks[part] = soft > cfg.mask_thr
        scores, labels, _, kept = mask_matrix_nms(
            masks,
            labels,
            scores,
            filter_thr=cfg.filter_thr,
            max_num=cfg.max_per_img,
            kernel=cfg.kernel,
            sigma=cfg.sigma,
            mask_area=areas[owner],
        )
        padded = (features.shape[1] * mask_stride, features.shape[2] * mask_stride)
        masks = _restore(kernels[used[owner[kept]]], features, padded, img_shape, ori_shape, cfg)
        return InstanceData(
            masks=masks, labels=labels.long(), scores=scores, bboxes=mask_boxes(masks)
        )


def _soft_masks(
    kernels: Tensor, features: Tensor, pixels: int | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Masks (n, h, w) chunk by chunk; ``pixels`` is the size of what becomes of each mask."""
    size = max(_CHUNK // (pixels or features[0].numel()), 1)
    for start in range(0, len(kernels), size):
        part = kernels[start : start + size, :, None, None]
        yield slice(start, start + len(part)), F.conv2d(features[None], part)[0].sigmoid()


def _rate(kernels: Tensor, features: Tensor, mask_thr: float) -> tuple[Tensor, Tensor]:
    """Pixels of each mask, and their mean probability."""
    areas = features.new_zeros(len(kernels), dtype=torch.float32)
    maskness = features.new_zeros(len(kernels))
    for part, soft in _soft_masks(kernels, features):
        inside = soft > mask_thr
        areas[part] = inside.sum((1, 2)).float()
        maskness[part] = (soft * inside).sum((1, 2)) / areas[part]
    return areas, maskness


def _restore(
    kernels: Tensor,
    features: Tensor,
    padded: tuple[int, int],
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    cfg: PostprocessConfig,
) -> Tensor:
    masks = features.new_zeros(len(kernels), *ori_shape, dtype=torch.bool)
    pixels = max(padded[0] * padded[1], ori_shape[0] * ori_shape[1])
    height, width = img_shape
    for part, soft in _soft_masks(kernels, features, pixels):
        soft = F.interpolate(soft[None], padded, mode="bilinear", align_corners=False)
        soft = soft[:, :, :height, :width]
        soft = F.interpolate(soft, ori_shape, mode="bilinear", align_corners=False)
        masks[part] = soft[0] > cfg.mask_thr
    return masks
