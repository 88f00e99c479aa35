"""Non-maximum suppression of masks.

An accelerator counts all intersections in one matrix product and decides all candidates at once. A
CPU goes from the best candidate down and counts pixels of those pairs only whose areas and boxes
allow an IoU above the threshold: near duplicates, which are few.
"""

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnseg.layers.precision import without_autocast

# Elements of the float copy of the masks that exists at a time: 64 MiB. It also keeps the sums of
# one product below 2**24, up to which float32 counts exactly.
_BLOCK = 2**24


@torch.no_grad()
def mask_nms(masks: Tensor, scores: Tensor, labels: Tensor, iou_thr: float) -> Tensor:
    """Greedy hard suppression within each class, as in the published code.

    From the best score downwards, a mask is kept unless its IoU with a kept mask of the same
    label is above the threshold. Equal scores: the lower index comes first. An empty mask has IoU
    0 with everything, itself included: it is kept and suppresses nothing.

    Args:
        masks: (n, H, W) bool, on any device.
        scores: (n,) without NaN.
        labels: (n,).
        iou_thr: in [0, 1].

    Returns:
        Indices of the kept masks, best first, (k,) int64.

    Raises:
        ValueError: masks are not (n, H, W) bool, or scores or labels not (n,).
    """
    if masks.ndim != 3 or masks.dtype != torch.bool:
        raise ValueError(
            f"masks must be (n, H, W) bool, got {tuple(masks.shape)} {masks.dtype}; threshold "
            "probabilities before the suppression"
        )
    if scores.shape != masks.shape[:1] or labels.shape != masks.shape[:1]:
        raise ValueError(
            f"{len(masks)} masks need as many scores and labels, got {tuple(scores.shape)} and "
            f"{tuple(labels.shape)}"
        )
    order = scores.sort(descending=True, stable=True).indices
    if masks.device.type == "cpu":
        kept = keep_by_pairs(masks.numpy(), order.numpy(), labels.numpy(), iou_thr)
        return torch.from_numpy(kept)
    return keep_by_product(masks, order, labels, iou_thr)


def keep_by_product(masks: Tensor, order: Tensor, labels: Tensor, iou_thr: float) -> Tensor:
    """The suppression of `mask_nms` by one matrix product.

    Args:
        masks: (n, H, W) bool.
        order: indices of the masks, best first.
        labels: (n,).
        iou_thr: see `mask_nms`.

    Returns:
        Those of the order that are kept.
    """
    labels = labels[order]
    inter = intersection_matrix(masks)[order[:, None], order]
    areas = inter.diagonal()
    iou = inter / (areas[:, None] + areas - inter).clamp(min=1)
    return order[greedy_keep((iou > iou_thr) & (labels[:, None] == labels))]


def keep_by_pairs(
    masks: NDArray[np.bool_], order: NDArray[np.int64], labels: NDArray, iou_thr: float
) -> NDArray[np.int64]:
    """What `keep_by_product` gives, with exact counts of near duplicates only.

    Two masks share at most the smaller area and at most the common part of their boxes; the IoU
    of that many pixels bounds theirs. Rounding keeps the order, so that no pair is missed.
    """
    areas = np.array([np.count_nonzero(mask) for mask in masks], dtype=np.int64)
    first, stop = _bounds(masks)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low, high = np.maximum(first[best], first[order]), np.minimum(stop[best], stop[order])
        most = np.minimum((high - low).clip(0).prod(1), np.minimum(areas[best], areas[order]))
        union = (areas[best] + areas[order] - most).clip(1)
        near = np.flatnonzero((most / union > iou_thr) & (labels[order] == labels[best]))
        duplicates = []
        for i in near:
            (y1, x1), (y2, x2), other = low[i], high[i], order[i]
            both = masks[best, y1:y2, x1:x2] & masks[other, y1:y2, x1:x2]
            shared = np.count_nonzero(both)
            if shared / max(areas[best] + areas[other] - shared, 1) > iou_thr:
                duplicates.append(i)
        order = np.delete(order, duplicates)
    return np.array(kept, dtype=np.int64)


def intersection_matrix(masks: Tensor) -> Tensor:
    """Pixels that each pair of masks shares; the areas stand on the diagonal.

    Args:
        masks: (n, H, W) bool.

    Returns:
        Exact whole numbers (n, n), float64.
    """
    flat = masks.flatten(1)
    count, size = flat.shape
    total = torch.zeros(count, count, dtype=torch.float64, device=flat.device)
    # A half-precision result could not count beyond 2048 (fp16) or 256 (bf16).
    with without_autocast(flat):
        for block in flat.split(max(1, min(size, _BLOCK // max(count, 1))), dim=1):
            block = block.float()
            total += block @ block.T
    return total


def greedy_keep(conflicts: Tensor) -> Tensor:
    """Which candidates a greedy pass keeps.

    All candidates are decided at once from the previous decisions, until nothing changes. After t
    rounds the first t are final, and the only fixed point is the greedy result; real images need
    a few rounds (Cluster-NMS, Zheng et al. 2020).

    Args:
        conflicts: (n, n) bool; row i says whom candidate i suppresses if it is kept. Candidates
            stand best first; the lower triangle is ignored.

    Returns:
        (n,) bool.
    """
    later = conflicts.triu(1)
    keep = ~later.any(0)
    while True:
        decided = ~(later & keep[:, None]).any(0)
        if torch.equal(decided, keep):
            return keep
        keep = decided


def keep_greedily(
    order: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`greedy_keep` for many candidates of which few are in conflict.

    Args:
        order: candidates, best first.
        first: one side of each conflict, (k,); candidates beyond the order play no role.
        second: the other side.

    Returns:
        Those of the order that are in no conflict with a kept one before them.
    """
    rivals = defaultdict(list)
    for one, two in zip(first.tolist(), second.tolist(), strict=True):
        rivals[one].append(two)
        rivals[two].append(one)
    kept: dict[int, None] = {}
    for candidate in order.tolist():
        if not any(rival in kept for rival in rivals[candidate]):
            kept[candidate] = None
    return np.array(list(kept), dtype=np.int64)


def _bounds(masks: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and column of each mask, and the ones after the last, (n, 2) each."""
    firsts, stops = [], []
    for hit in (masks.any(2), masks.any(1)):
        place = np.arange(hit.shape[1])
        firsts.append(np.where(hit, place, hit.shape[1]).min(1, initial=hit.shape[1]))
        stops.append(np.where(hit, place + 1, 0).max(1, initial=0))
    return np.stack(firsts, axis=1), np.stack(stops, axis=1)
