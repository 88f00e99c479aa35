"""From the logits of one image's queries to its instances at the original size."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor

from attnseg.iaunet.mask_crops import crop_mask, encode
from attnseg.iaunet.mask_nms import mask_nms
from attnseg.iaunet.windows import WindowConfig

# Stands for infinite logits of half precision, which a weight of 0 would turn into NaN.
_FINITE = 1e5


@dataclass(frozen=True)
class PostprocessConfig:
    """How queries become instances (specs C.4 and C.6).

    Attributes:
        score_thr: scores must be above it, in [0, 1).
        nms_iou: masks of one class with a higher IoU are duplicates, in [0, 1].
        max_per_img: pairs of query and class that enter, best class probability first.
        mask_thr: probability above which a pixel belongs to a mask, in (0, 1).
        rle: give masks as compressed COCO RLEs instead of a tensor.
        windows: cut larger images into windows; None for never.
    """

    score_thr: float = 0.01
    nms_iou: float = 0.8
    max_per_img: int = 100
    mask_thr: float = 0.5
    rle: bool = False
    windows: WindowConfig | None = None

    def __post_init__(self) -> None:
        ranges = {
            "score_thr": (0 <= self.score_thr < 1, "from 0 to below 1"),
            "nms_iou": (0 <= self.nms_iou <= 1, "from 0 to 1"),
            "max_per_img": (self.max_per_img >= 1, "at least 1"),
            "mask_thr": (0 < self.mask_thr < 1, "between 0 and 1"),
            "windows": (
                self.windows is None or isinstance(self.windows, WindowConfig),
                "a dict with 'size' and 'overlap', or None",
            ),
        }
        for name, (fits, expected) in ranges.items():
            if not fits:
                raise ValueError(f"{name} must be {expected}, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> "PostprocessConfig":
        """Build from a detector's ``test_cfg``.

        Raises:
            ValueError: for a key that is none of the attributes, or a value out of range.
        """
        values = dict(values or {})
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"test_cfg has unknown keys {unknown}; known are {known}")
        if isinstance(values.get("windows"), Mapping):
            values["windows"] = WindowConfig.from_dict(values["windows"])
        return cls(**values)


class Selected(NamedTuple):
    """Instances of one image on the grid of the logits, best first.

    Attributes:
        labels: (n,) int64.
        scores: (n,) float32 in (0, 1].
        mask_logits: (n, h, w) float32.
    """

    labels: Tensor
    scores: Tensor
    mask_logits: Tensor


@torch.no_grad()
def select(class_logits: Tensor, mask_logits: Tensor, cfg: PostprocessConfig) -> Selected:
    """Score the queries of one image and drop weak ones and duplicates.

    The score is the class probability times the maskness, the mean probability of the pixels
    inside the mask (specs C.4; 0 for an empty mask). Everything is computed in float32.

    Args:
        class_logits: (N, K + 1), the last class is "no object".
        mask_logits: (N, h, w).
        cfg: thresholds.
    """
    classes = class_logits.shape[1] - 1
    confidence = class_logits.float().softmax(-1)[:, :-1].flatten()
    confidence, index = confidence.sort(descending=True, stable=True)
    # Maskness is at most 1: what is below the threshold without it needs no mask.
    index = index[: cfg.max_per_img][confidence[: cfg.max_per_img] > cfg.score_thr]
    confidence = confidence[: len(index)]
    labels = index % max(classes, 1)
    query, owner = (index // max(classes, 1)).unique(return_inverse=True)
    logits = mask_logits[query].float()
    inside = logits > _logit(cfg.mask_thr)
    areas = inside.sum((1, 2))
    maskness = logits.sigmoid().where(inside, 0).sum((1, 2)) / areas.clamp(min=1)
    scores = confidence * maskness[owner]
    strong = ((scores > cfg.score_thr) & (areas[owner] > 0)).nonzero()[:, 0]
    kept = mask_nms(inside[owner[strong]], scores[strong], labels[strong], cfg.nms_iou)
    kept = strong[kept]
    return Selected(labels[kept], scores[kept], logits[owner[kept]])


@torch.no_grad()
def restore(
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    mask_thr: float = 0.5,
) -> Tensor:
    """Masks at the size of the original image.

    One bilinear interpolation (``align_corners=False``) from the grid of the logits straight to
    the original's pixels; the way over the padded input blurs twice. Each mask is computed
    within its box only, which is exact: beside cells under the threshold there is nothing above
    it. Besides the result, memory of one box is needed.

    Args:
        mask_logits: (n, h, w), covering the padded input.
        padded_size: (H, W) of the padded input.
        img_shape: (H, W) of the input without the padding on the right and below.
        ori_shape: (H, W) of the original image.
        mask_thr: probability above which a pixel belongs to a mask.

    Returns:
        (n, \\*ori_shape) bool, on the device of the logits.

    Raises:
        ValueError: if ``img_shape`` is larger than ``padded_size``.
    """
    masks = torch.zeros(
        len(mask_logits), *ori_shape[:2], dtype=torch.bool, device=mask_logits.device
    )
    parts = _restored(mask_logits, padded_size, img_shape, ori_shape, mask_thr)
    for mask, (top, left, part) in zip(masks, parts, strict=True):
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return masks


@torch.no_grad()
def to_instances(
    selected: Selected,
    padded_size: tuple[int, int],
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    cfg: PostprocessConfig,
) -> InstanceData:
    """Instances at the original size; those that vanish there are dropped.

    Args:
        selected: what `select` gives.
        padded_size: see `restore`.
        img_shape: see `restore`.
        ori_shape: see `restore`.
        cfg: ``mask_thr`` and ``rle``.

    Returns:
        ``labels`` (n,), ``scores`` (n,), ``bboxes`` (n, 4) float32 as x1, y1, x2, y2 around the
        masks, and ``masks``: (n, H, W) bool, or a list of RLEs.
    """
    labels, scores, logits = selected
    sizes = (padded_size, img_shape, ori_shape)
    if cfg.rle:
        # Full masks never exist: each one goes from its box into its runs.
        parts = _restored(logits.cpu(), *sizes, cfg.mask_thr)
        crops = [crop_mask(part.numpy(), top, left) for top, left, part in parts]
        present = [i for i, crop in enumerate(crops) if crop is not None]
        masks: Any = [encode(crops[i], ori_shape[:2]) for i in present]
        boxes = torch.tensor([crops[i].box for i in present], dtype=torch.float32)
        boxes = boxes.reshape(-1, 4).to(labels.device)
        present = torch.tensor(present, dtype=torch.int64, device=labels.device)
    else:
        masks = restore(logits, *sizes, cfg.mask_thr)
        boxes = mask_boxes(masks)
        present = (boxes[:, 2] > 0).nonzero()[:, 0]
        masks = masks if len(present) == len(masks) else masks[present]
        boxes = boxes[present]
    return InstanceData(masks=masks, labels=labels[present], scores=scores[present], bboxes=boxes)


def mask_boxes(masks: Tensor) -> Tensor:
    """Boxes around masks.

    Args:
        masks: (n, H, W) bool.

    Returns:
        (n, 4) float32 as x1, y1, x2, y2 with the last two exclusive; zeros for an empty mask.
    """
    bounds = []
    for hit in (masks.any(1), masks.any(2)):
        place = torch.arange(hit.shape[1], device=hit.device)
        last = torch.where(hit, place + 1, 0).amax(1)
        first = torch.where(hit, place, hit.shape[1]).amin(1)
        bounds.append((first.minimum(last), last))
    (x1, x2), (y1, y2) = bounds
    return torch.stack([x1, y1, x2, y2], dim=1).float()


def _restored(
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    mask_thr: float,
) -> Iterator[tuple[int, int, Tensor]]:
    """Top, left and bool part of each mask at the original size; beyond the part it is empty."""
    axes = [
        _Axis(*lengths, mask_logits.device)
        for lengths in zip(
            mask_logits.shape[1:], padded_size[:2], img_shape[:2], ori_shape[:2], strict=True
        )
    ]
    level = _logit(mask_thr)
    boxes = mask_boxes(mask_logits > level).int().cpu().numpy()
    spans = [axis.spans(boxes[:, i], boxes[:, i + 2]) for axis, i in zip(axes, (1, 0), strict=True)]
    for logits, rows, columns in zip(mask_logits, *spans, strict=True):
        y1, y2, v1, v2 = rows
        x1, x2, u1, u2 = columns
        values = logits[v1:v2, u1:u2].float().clamp(-_FINITE, _FINITE)
        with torch.autocast(values.device.type, enabled=False):
            values = axes[0].weights[y1:y2, v1:v2] @ values @ axes[1].weights[x1:x2, u1:u2].T
        yield y1, x1, values > level


class _Axis:
    """Linear interpolation along one axis, from the grid to the original's pixels.

    Attributes:
        weights: (final, cells), two neighbouring entries a row.
    """

    def __init__(self, cells: int, padded: int, cut: int, final: int, device: torch.device) -> None:
        if cut > padded:
            raise ValueError(
                f"img_shape {cut} is larger than the padded input {padded}; pass the size of the "
                "batch after padding"
            )
        step = cells / padded * cut / final
        place = ((np.arange(final) + 0.5) * step - 0.5).clip(0, cells - 1)
        self._low = np.floor(place).astype(np.int64)
        self._high = np.minimum(self._low + 1, cells - 1)
        weights = np.zeros((final, cells), dtype=np.float32)
        weights[np.arange(final), self._high] = place - self._low
        weights[np.arange(final), self._low] += 1 - (place - self._low)
        self.weights = torch.from_numpy(weights).to(device)

    def spans(self, first: NDArray[np.integer], stop: NDArray[np.integer]) -> list[list[int]]:
        """Pixels that cells ``first`` to ``stop`` touch, and all cells that these pixels need.

        Returns:
            First pixel, stop pixel, first cell, stop cell for each pair.
        """
        start = np.searchsorted(self._high, first, side="left")
        end = np.searchsorted(self._low, stop, side="left")
        end = np.where(stop > first, np.maximum(end, start), start)
        low = self._low[np.minimum(start, len(self._low) - 1)]
        high = self._high[np.maximum(end - 1, 0)] + 1
        return np.stack([start, end, low, np.maximum(high, low)], axis=1).tolist()


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
