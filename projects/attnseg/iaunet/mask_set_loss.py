"""The loss of a set of masks: match, then classify all queries and segment with the matched."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.utils import reduce_mean
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attnseg.iaunet.matching import HungarianMaskMatcher, check_mode
from attnseg.iaunet.point_sampling import sample_logits, sample_masks, uncertain_points
from attnseg.iaunet.structures import MaskPrediction, MaskTruth
from attnseg.layers.precision import without_autocast
from attnseg.losses import full_precision, mask_bce_loss, mask_dice_loss
from attnseg.registry import MODELS, TASK_UTILS

# Masks whose candidate points are held at a time, and pixels of enlarged masks at a time: bounds
# of the working memory, large enough that the loop over the blocks costs nothing.
_MASKS_AT_ONCE = 32
_PIXELS_AT_ONCE = 1 << 20


@MODELS.register_module()
class MaskSetLoss(nn.Module):
    """Loss of IAUNet: class 1, dice 2, binary cross-entropy 5, after Hungarian matching.

    The class loss is the cross-entropy of all queries of the batch, averaged with the weight of
    their target: 1 for a class, ``no_object_weight`` for queries without an object. The mask losses
    are sums over the matched queries, divided by the number of objects of a rank, averaged over all
    ranks and at least 1.

    ``mode="points"`` compares masks at points, as PointRend and Mask2Former do: three quarters of
    them where the logit of the mask is next to 0. ``mode="dense"`` compares all pixels of the
    truth, to whose size the matched masks are enlarged, a few at a time and anew in the backward
    pass.

    Without any object the mask losses are zeros that stay connected to the mask logits, so every
    parameter gets a gradient (of zero) and distributed training finds none unused. All ranks have
    to call the loss, those without an object too.

    Everything is computed in float32 (float64 stays), also under autocast.

    Args:
        num_classes: K, without "no object".
        class_weight: Weight of the class loss.
        dice_weight: Weight of the dice loss.
        mask_weight: Weight of the cross-entropy of masks.
        no_object_weight: Weight of queries without an object in the class loss.
        mode: ``"points"`` or ``"dense"``.
        num_points: Points of a mask, in mode ``"points"``.
        oversample_ratio: Candidates drawn for each point, at least 1.
        importance_ratio: Share of points chosen for their uncertainty, 0 to 1.
        matcher: Config of the matcher; by default a :class:`HungarianMaskMatcher` with the weights,
            the mode and the number of points of the loss.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        class_weight: float = 1.0,
        dice_weight: float = 2.0,
        mask_weight: float = 5.0,
        no_object_weight: float = 0.1,
        mode: str = "points",
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
        matcher: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_mode(type(self).__name__, mode, num_points)
        if num_classes < 1:
            raise ValueError(f"MaskSetLoss: num_classes must be at least 1, got {num_classes}")
        if oversample_ratio < 1:
            raise ValueError(
                f"MaskSetLoss: oversample_ratio must be at least 1, got {oversample_ratio}"
            )
        if not 0 <= importance_ratio <= 1:
            raise ValueError(
                f"MaskSetLoss: importance_ratio must be within 0 to 1, got {importance_ratio}"
            )
        self.num_classes = num_classes
        self.class_weight = class_weight
        self.dice_weight = dice_weight
        self.mask_weight = mask_weight
        self.mode = mode
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_ratio = importance_ratio
        self.matcher = (
            HungarianMaskMatcher(class_weight, dice_weight, mask_weight, mode, num_points)
            if matcher is None
            else TASK_UTILS.build(matcher)
        )
        target_weight = torch.ones(num_classes + 1)
        target_weight[-1] = no_object_weight
        self.register_buffer("target_weight", target_weight, persistent=False)

    def forward(
        self, predictions: Sequence[MaskPrediction], truth: Sequence[MaskTruth]
    ) -> dict[str, Tensor]:
        """Compute the weighted losses of a batch.

        Args:
            predictions: Of one or several levels of the decoder; the last is the final one. Each
                is matched on its own.
            truth: Objects of the B images.

        Returns:
            ``loss_cls``, ``loss_dice`` and ``loss_mask`` of the last prediction, and the same with
            the prefix ``d0.``, ``d1.`` ... of the earlier ones: scalars, at least float32.

        Raises:
            ValueError: If predictions and truth do not fit each other or ``num_classes``.
        """
        self._check(predictions, truth)
        device = predictions[-1].class_logits.device
        # Before anything can return: all ranks have to take part in the mean.
        objects = torch.tensor([sum(len(t.labels) for t in truth)], device=device)
        num_masks = reduce_mean(objects.float()).clamp(min=1)[0]
        losses = {}
        for level, prediction in enumerate(predictions):
            prefix = "" if level == len(predictions) - 1 else f"d{level}."
            with without_autocast(objects):
                level_losses = self._level(prediction, truth, num_masks)
            losses.update({prefix + name: loss for name, loss in level_losses.items()})
        return losses

    def _level(
        self, prediction: MaskPrediction, truth: Sequence[MaskTruth], num_masks: Tensor
    ) -> dict[str, Tensor]:
        class_logits, mask_logits = prediction
        class_logits = full_precision(class_logits)
        images = zip(class_logits.detach(), mask_logits.detach(), truth, strict=True)
        matches = [self.matcher(*image) for image in images]
        counts = [len(queries) for queries, _ in matches]
        device = class_logits.device
        image = torch.arange(len(truth), device=device).repeat_interleave(
            torch.tensor(counts, device=device), output_size=sum(counts)
        )
        query = torch.cat([queries for queries, _ in matches])
        targets = torch.full(
            class_logits.shape[:2], self.num_classes, dtype=torch.long, device=device
        )
        targets[image, query] = torch.cat(
            [t.labels[rows] for t, (_, rows) in zip(truth, matches, strict=True)]
        )
        # Gathered at once: a gather for each image would cost a gradient of all images' size each.
        logits = full_precision(mask_logits[image, query])
        compare = self._at_points if self.mode == "points" else _at_pixels
        sums = [
            compare(part, t.masks, rows)
            for part, t, (_, rows) in zip(logits.split(counts), truth, matches, strict=True)
            if len(rows)
        ]
        # The sum over no masks at all: a zero that keeps the graph, whatever the logits are.
        dice, bce = zip(*(sums or [(logits.sum(), logits.sum())]), strict=True)
        return {
            "loss_cls": self.class_weight * self._classes(class_logits, targets),
            "loss_dice": self.dice_weight * sum(dice) / num_masks,
            "loss_mask": self.mask_weight * sum(bce) / num_masks,
        }

    def _classes(self, logits: Tensor, targets: Tensor) -> Tensor:
        weight = self.target_weight.to(logits.dtype)
        total = weight[targets].sum()
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), weight, reduction="sum")
        # With a no-object weight of 0 and no objects, both are 0.
        return loss / total.clamp(min=torch.finfo(logits.dtype).tiny)

    def _at_points(self, logits: Tensor, masks: Tensor, matched: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of dice and cross-entropy of (M, h, w) logits with the matched masks."""
        with torch.no_grad():
            points, targets = [], []
            for block, rows in zip(
                logits.split(_MASKS_AT_ONCE), matched.split(_MASKS_AT_ONCE), strict=True
            ):
                points.append(
                    uncertain_points(
                        block, self.num_points, self.oversample_ratio, self.importance_ratio
                    )
                )
                targets.append(sample_masks(masks[rows], points[-1]))
        return _compare(sample_logits(logits, torch.cat(points)), torch.cat(targets))

    def _check(self, predictions: Sequence[MaskPrediction], truth: Sequence[MaskTruth]) -> None:
        if not predictions:
            raise ValueError("MaskSetLoss needs at least one prediction, got none")
        for class_logits, mask_logits in predictions:
            shape = (len(truth), mask_logits.shape[1], self.num_classes + 1)
            if class_logits.shape != shape or mask_logits.ndim != 4 or len(mask_logits) != shape[0]:
                raise ValueError(
                    f"MaskSetLoss: {shape[0]} images and num_classes={self.num_classes} need class "
                    f"logits (B, N, {shape[2]}) and mask logits (B, N, h, w), got "
                    f"{tuple(class_logits.shape)} and {tuple(mask_logits.shape)}"
                )
        for i, (labels, masks) in enumerate(truth):
            if masks.ndim != 3 or len(masks) != len(labels):
                raise ValueError(
                    f"MaskSetLoss: image {i} of the batch has {len(labels)} labels and masks "
                    f"{tuple(masks.shape)}; expected one (H, W) mask for each label"
                )
        labels = torch.cat([t.labels for t in truth])
        if len(labels):
            low, high = torch.stack(torch.aminmax(labels)).tolist()
            if low < 0 or high >= self.num_classes:
                raise ValueError(
                    f"MaskSetLoss: labels go from {low} to {high}, but num_classes="
                    f"{self.num_classes} allows 0 to {self.num_classes - 1}; set num_classes to "
                    "that of the data set"
                )


def _at_pixels(logits: Tensor, masks: Tensor, matched: Tensor) -> tuple[Tensor, Tensor]:
    """As ``_at_points``, over all pixels of the masks."""
    at_once = max(1, _PIXELS_AT_ONCE // masks[0].numel())
    sums = [
        checkpoint(_at_pixels_of, block, masks, rows, use_reentrant=False, preserve_rng_state=False)
        for block, rows in zip(logits.split(at_once), matched.split(at_once), strict=True)
    ]
    dice, bce = zip(*sums, strict=True)
    return torch.stack(dice).sum(), torch.stack(bce).sum()


def _at_pixels_of(logits: Tensor, masks: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    size = masks.shape[1:]
    enlarged = F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
    return _compare(enlarged.flatten(1), masks[rows].flatten(1))


def _compare(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return mask_dice_loss(logits, targets).sum(), mask_bce_loss(logits, targets).sum()
