"""Non-maximum suppression of masks, with all intersections from one matrix product."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

# Foreground share up to which a sparse product on a CPU beats the dense one.
_SPARSE_SHARE = 1 / 32
# Elements of the float copy of the masks that exists at a time: 64 MiB. It also keeps the sums of
# one product below 2**24, up to which float32 counts exactly.
_BLOCK = 2**24


@torch.no_grad()
def mask_nms(masks: Tensor, scores: Tensor, labels: Tensor, iou_thr: float) -> Tensor:
    """Greedy hard suppression within each class (specs C.4 and C.5).

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
    labels = labels[order]
    inter = intersection_matrix(masks)[order[:, None], order]
    areas = inter.diagonal()
    iou = inter / (areas[:, None] + areas - inter).clamp(min=1)
    return order[greedy_keep((iou > iou_thr) & (labels[:, None] == labels))]


def intersection_matrix(masks: Tensor) -> Tensor:
    """Pixels that each pair of masks shares; the areas stand on the diagonal.

    On a CPU the product is sparse where the masks are small against the image, as cells are: its
    cost then depends on their pixels, not on the size of the image.

    Args:
        masks: (n, H, W) bool.

    Returns:
        Exact whole numbers (n, n), float64.
    """
    flat = masks.flatten(1)
    if flat.device.type == "cpu":
        pixels = flat.numpy()
        if np.count_nonzero(pixels) <= _SPARSE_SHARE * pixels.size:
            return torch.from_numpy(_sparse_product(pixels))
    count, size = flat.shape
    total = torch.zeros(count, count, dtype=torch.float64, device=flat.device)
    # A half-precision result could not count beyond 2048 (fp16) or 256 (bf16).
    with torch.autocast(flat.device.type, enabled=False):
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


def _sparse_product(pixels: np.ndarray) -> np.ndarray:
    count, size = pixels.shape
    rows, columns = np.divmod(np.flatnonzero(pixels), max(size, 1))
    starts = np.searchsorted(rows, np.arange(count + 1))
    ones = np.ones(len(columns), dtype=np.int32)
    matrix = sparse.csr_matrix((ones, columns, starts), shape=(count, size))
    return (matrix @ matrix.T).toarray().astype(np.float64)
