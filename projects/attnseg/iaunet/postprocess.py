"""From the logits of one image's queries to its instances at the original size."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from attnseg.iaunet.mask_crops import crop_mask, encode
from attnseg.iaunet.mask_nms import mask_nms
from attnseg.iaunet.restore import logit, restore_with_boxes, restored_parts
from attnseg.iaunet.windows import WindowConfig


@dataclass(frozen=True)
class PostprocessConfig:
    """How queries become instances; thresholds as in the published settings (the paper has none).

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
        count = self.max_per_img
        ranges = {
            "score_thr": (_number(self.score_thr) and 0 <= self.score_thr < 1, "from 0 to below 1"),
            "nms_iou": (_number(self.nms_iou) and 0 <= self.nms_iou <= 1, "from 0 to 1"),
            "max_per_img": (
                _number(count) and isinstance(count, int) and count >= 1,
                "a whole number, at least 1",
            ),
            "mask_thr": (_number(self.mask_thr) and 0 < self.mask_thr < 1, "between 0 and 1"),
            "rle": (isinstance(self.rle, bool), "True or False"),
            "windows": (
                self.windows is None or isinstance(self.windows, WindowConfig),
                "a dict with 'size' and 'overlap', or None",
            ),
        }
        for name, (fits, expected) in ranges.items():
            if not fits:
                raise ValueError(f"{name} must be {expected}, got {getattr(self, name)!r}")

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


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


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
    inside the mask, as in the published code (the paper's mean over "N pixels" can also be read
    otherwise); 0 for an empty mask. Everything is computed in float32.

    Args:
        class_logits: (N, K + 1), the last class is "no object".
        mask_logits: (N, h, w).
        cfg: thresholds.
    """
    classes = class_logits.shape[1] - 1
    # A query that is not a number has no class; it must not cost others theirs.
    confidence = class_logits.float().softmax(-1)[:, :-1].flatten().nan_to_num(0.0)
    confidence, index = confidence.sort(descending=True, stable=True)
    # Maskness is at most 1: what is below the threshold without it needs no mask.
    likely = confidence[: cfg.max_per_img] > cfg.score_thr
    index, confidence = (part[: cfg.max_per_img][likely] for part in (index, confidence))
    labels = index % max(classes, 1)
    query, owner = (index // max(classes, 1)).unique(return_inverse=True)
    logits = mask_logits[query].float()
    inside = logits > logit(cfg.mask_thr)
    areas = inside.sum((1, 2))
    maskness = logits.sigmoid().where(inside, 0).sum((1, 2)) / areas.clamp(min=1)
    scores = confidence * maskness[owner]
    strong = ((scores > cfg.score_thr) & (areas[owner] > 0)).nonzero()[:, 0]
    kept = mask_nms(inside[owner[strong]], scores[strong], labels[strong], cfg.nms_iou)
    kept = strong[kept]
    return Selected(labels[kept], scores[kept], logits[owner[kept]])


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
        padded_size: see `restore.restore`.
        img_shape: see `restore.restore`.
        ori_shape: see `restore.restore`.
        cfg: ``mask_thr`` and ``rle``.

    Returns:
        ``labels`` (n,), ``scores`` (n,), ``bboxes`` (n, 4) float32 as x1, y1, x2, y2 around the
        masks, and ``masks``: (n, H, W) bool, or a list of RLEs.
    """
    labels, scores, logits = selected
    sizes = (padded_size, img_shape, ori_shape)
    if cfg.rle:
        # Full masks never exist: each one goes from its box into its runs.
        parts = restored_parts(logits.cpu(), *sizes, cfg.mask_thr)
        crops = [crop_mask(part.numpy(), top, left) for top, left, part in parts]
        present = [i for i, crop in enumerate(crops) if crop is not None]
        masks: Any = [encode(crops[i], ori_shape[:2]) for i in present]
        boxes = torch.tensor([crops[i].box for i in present], dtype=torch.float32)
        boxes = boxes.reshape(-1, 4).to(labels.device)
        present = torch.tensor(present, dtype=torch.int64, device=labels.device)
    else:
        masks, boxes = restore_with_boxes(logits, *sizes, cfg.mask_thr)
        present = (boxes[:, 2] > 0).nonzero()[:, 0]
        masks = masks if len(present) == len(masks) else masks[present]
        boxes = boxes[present]
    return InstanceData(masks=masks, labels=labels[present], scores=scores[present], bboxes=boxes)
