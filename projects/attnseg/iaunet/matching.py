"""Which query answers for which object: the assignment of least total cost."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from attnseg.iaunet.point_sampling import sample_logits, sample_masks
from attnseg.iaunet.structures import MaskTruth
from attnseg.layers.precision import without_autocast
from attnseg.losses import full_precision, pairwise_bce_cost, pairwise_dice_cost
from attnseg.registry import TASK_UTILS

MODES = ("points", "dense")

# Stands for a cost that is not finite. Larger than any sensible cost, and small enough that the
# differences of the sensible ones survive next to it in the solver's float64.
_NO_MATCH = 1e8


def match_costs(
    class_logits: Tensor,
    mask_logits: Tensor,
    labels: Tensor,
    masks: Tensor,
    class_weight: float = 1.0,
    dice_weight: float = 2.0,
    mask_weight: float = 5.0,
) -> Tensor:
    """Compute the cost of each query for each object (IAUNet, Sec. 7: 1, 2 and 5).

    The class costs the negated softmax probability of the true label, the mask its dice loss and
    its mean binary cross-entropy.

    Args:
        class_logits: (N, K + 1).
        mask_logits: (N, P), at the points or pixels of ``masks``.
        labels: (M,), 0 to K - 1.
        masks: (M, P), 0 to 1.
        class_weight: Weight of the class cost.
        dice_weight: Weight of the dice cost.
        mask_weight: Weight of the cross-entropy.

    Returns:
        (N, M), finite, at least float32; 1e8 where a cost is NaN, infinite or above it.
    """
    with without_autocast(class_logits):
        cost = -class_weight * full_precision(class_logits).softmax(1)[:, labels]
        cost = cost + dice_weight * pairwise_dice_cost(mask_logits, masks)
        cost = cost + mask_weight * pairwise_bce_cost(mask_logits, masks)
    return cost.nan_to_num_(nan=_NO_MATCH, posinf=_NO_MATCH, neginf=_NO_MATCH).clamp_(max=_NO_MATCH)


@TASK_UTILS.register_module()
class HungarianMaskMatcher:
    """Assigns queries to the objects of one image, one to one, at the least total cost.

    Masks are compared at uniform random points that all masks of the image share
    (``mode="points"``), or on the grid of the predictions, to which the truth is reduced by
    taking the pixel at the centre of each cell (``mode="dense"``). Neither enlarges a
    prediction, and neither makes a floating-point copy of the truth at its size.

    Args:
        class_weight: Weight of the class cost.
        dice_weight: Weight of the dice cost.
        mask_weight: Weight of the cross-entropy.
        mode: ``"points"`` or ``"dense"``.
        num_points: Points in mode ``"points"``.

    Raises:
        ValueError: If the mode is unknown or there is no point.
    """

    def __init__(
        self,
        class_weight: float = 1.0,
        dice_weight: float = 2.0,
        mask_weight: float = 5.0,
        mode: str = "points",
        num_points: int = 12544,
    ) -> None:
        check_mode(type(self).__name__, mode, num_points)
        self.class_weight = class_weight
        self.dice_weight = dice_weight
        self.mask_weight = mask_weight
        self.mode = mode
        self.num_points = num_points

    @torch.no_grad()
    def __call__(
        self, class_logits: Tensor, mask_logits: Tensor, truth: MaskTruth
    ) -> tuple[Tensor, Tensor]:
        """Match one image.

        Args:
            class_logits: (N, K + 1).
            mask_logits: (N, h, w), any floating type.
            truth: M objects; if there are more than queries, the N cheapest to explain are taken.

        Returns:
            Indices of queries, ascending, and of their objects: two int64 tensors (min(N, M),) on
            the device of the logits.
        """
        device = class_logits.device
        if len(truth.labels) == 0 or len(class_logits) == 0:
            nothing = torch.empty(0, dtype=torch.long, device=device)
            return nothing, nothing
        mask_logits = full_precision(mask_logits)
        if self.mode == "points":
            points = torch.rand(self.num_points, 2, device=device)
            predicted = sample_logits(mask_logits, points)
            wanted = sample_masks(truth.masks, points)
        else:
            predicted = mask_logits.flatten(1)
            wanted = _reduce(truth.masks, *mask_logits.shape[1:]).flatten(1)
        cost = match_costs(
            class_logits,
            predicted,
            truth.labels,
            wanted,
            self.class_weight,
            self.dice_weight,
            self.mask_weight,
        )
        queries, objects = linear_sum_assignment(cost.cpu().numpy())
        return torch.from_numpy(queries).to(device), torch.from_numpy(objects).to(device)


def check_mode(name: str, mode: str, num_points: int) -> None:
    """Reject an unknown way to compare masks.

    Args:
        name: Class that has the arguments, for the message.
        mode: Should be one of ``MODES``.
        num_points: Should be at least 1.

    Raises:
        ValueError: If it is not so.
    """
    if mode not in MODES:
        raise ValueError(f"{name}: mode must be one of {MODES}, got {mode!r}")
    if num_points < 1:
        raise ValueError(f"{name}: num_points must be at least 1, got {num_points}")


def _reduce(masks: Tensor, height: int, width: int) -> Tensor:
    """The pixels of (M, H, W) masks that lie at the centres of a coarser grid's cells."""
    rows = _centres(masks.shape[1], height, masks.device)
    columns = _centres(masks.shape[2], width, masks.device)
    return masks[:, rows[:, None], columns]


def _centres(size: int, cells: int, device: torch.device) -> Tensor:
    return (2 * torch.arange(cells, device=device) + 1) * size // (2 * cells)
