"""The adaptive minimum loss of CSPAM-SOLOv2: each cell learns the object that costs it least.

With m the soft mask of a cell, g the mask of an object, C their centroids and sums over pixels,

    D = 1 - (2 sum m g + 1) / (sum m + sum g + 1)                                          (Eq. 1)
    eps = ((Cpx - Cgx)^2 + (Cpy - Cgy)^2) / (|sum m g| + 1)                                (Eq. 2)
    L_mask = sum over positive cells of (D + eps) / N_pos
    L = L_cate + lambda L_mask,  or  sigmoid(L_cate) + sigmoid(lambda L_mask)              (Eq. 3)

Where the centres of several objects fall into one cell, "the minimum loss is used". Decisions
where the paper is silent:

* The minimum is taken over the candidates of one cell: the focal loss that the cell has with the
  class of the object, plus lambda (D + eps). The first of equals wins. The choice is a constant in
  the backward pass; the cell counts once, and its class is that of the chosen object.
* Centroids are in parts of the map's width and height, 0 to 1, so that eps is of the order of the
  dice and does not depend on the resolution. It is differentiated as written.
* A target without a pixel (an object lost at a quarter of the size) or a mask with less than a
  millionth of a pixel has no centroid: eps is 0. D of an empty target is 1 - 1 / (sum m + 1); in
  the squared form it is 1.
* lambda is 3, as in SOLOv2. N_pos counts cells, also with ``minimum=False``, and the focal loss is
  divided by N_pos + 1, both as mmdet does.
* The sigmoid of Eq. 3 is off unless asked for: of a positive loss it lies in (0.5, 1), its
  gradient is at most a quarter and vanishes for large losses.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnseg.layers.precision import without_autocast
from attnseg.losses.mask_losses import full_precision
from attnseg.losses.mask_sums import soft_mask_sums
from attnseg.registry import MODELS

DICES = ("linear", "squared")
_SQUARED_EPS = 1e-3
_LEAST_MASS = 1e-6


def focal_terms(
    logits: Tensor, positive: Tensor, gamma: float = 2.0, alpha: float = 0.25
) -> Tensor:
    """Compute the sigmoid focal loss of each logit.

    Args:
        logits: any shape, float32 or float64.
        positive: bool of a shape that broadcasts with it.
        gamma: exponent of the miss.
        alpha: weight of positives; negatives have 1 - alpha.

    Source:
        Lin et al., *Focal Loss for Dense Object Detection*, Eq. 5.
    """
    miss = torch.where(positive, -logits, logits)
    sign = positive.to(logits.dtype)
    weight = alpha * sign + (1 - alpha) * (1 - sign)
    share = miss.sigmoid()
    if gamma < 1:
        # The slope of the power is infinite where the sigmoid underflows to zero.
        share = share.clamp(min=torch.finfo(share.dtype).tiny)
    return -weight * share.pow(gamma) * F.logsigmoid(-miss)


def mask_terms(sums: Tensor, truth: Tensor, dice: str = "linear", centroid: bool = True) -> Tensor:
    """Compute D + eps of pairs from their sums, see the module's text.

    Args:
        sums: (N, 5), sum of m g, m, m x, m y and m^2.
        truth: (N, 3), sum of g, g x and g y.
        dice: ``linear`` is Eq. 1; ``squared`` is ``1 - 2 sum m g / (sum m^2 + sum g^2 + 2 e)``
            with e = 0.001, the form of SOLOv2 and the default of mmdet.
        centroid: with eps.

    Returns:
        (N,), not negative.
    """
    overlap, mass, area = sums[:, 0], sums[:, 1], truth[:, 0]
    if dice == "linear":
        terms = 1 - (2 * overlap + 1) / (mass + area + 1)
    else:
        terms = 1 - 2 * overlap / (sums[:, 4] + _SQUARED_EPS + area + _SQUARED_EPS)
    if not centroid:
        return terms
    present = (mass >= _LEAST_MASS) & (area > 0)
    # Divided by one where there is no centroid: a division by zero would spoil the gradient.
    centres = sums[:, 2:4] / mass.where(present, 1)[:, None]
    distance = (centres - truth[:, 1:] / area.where(present, 1)[:, None]).square().sum(1)
    return terms + (distance / (overlap + 1)).where(present, 0)


def pair_mask_terms(
    kernels: Tensor,
    features: Tensor,
    cell: Tensor,
    obj: Tensor,
    masks: Tensor,
    dice: str = "linear",
    centroid: bool = True,
) -> Tensor:
    """Compute D + eps of each pair of a cell and an object of one image.

    Args:
        kernels: (P, E) of the image's positive cells, float32 or float64.
        features: (E, H, W) of the same type.
        cell: (N,) rows of ``kernels``.
        obj: (N,) rows of ``masks``.
        masks: (O, H, W), 0 or 1.
        dice: see `mask_terms`.
        centroid: see `mask_terms`.
    """
    used, column = obj.unique(return_inverse=True)
    sums, truth = soft_mask_sums(kernels, features, masks[used], dice == "squared")
    mine = sums[cell]
    overlap = mine.gather(1, column[:, None])
    return mask_terms(torch.cat([overlap, mine[:, -4:]], 1), truth[column], dice, centroid)


def choose(owner: Tensor, cost: Tensor, cells: int) -> Tensor:
    """Find the cheapest pair of each cell, the first among equals.

    Args:
        owner: (N,) cell of each pair, 0 to ``cells`` - 1; each cell has a pair.
        cost: (N,); what is not a number is chosen last.
        cells: how many.

    Returns:
        (cells,) indices of pairs.
    """
    cost = cost.nan_to_num(nan=torch.inf, posinf=torch.inf)
    least = cost.new_full((cells,), torch.inf).scatter_reduce(0, owner, cost, "amin")
    pair = torch.arange(len(owner), device=owner.device)
    pair = pair.where(cost == least[owner], len(owner))
    return pair.new_full((cells,), len(owner)).scatter_reduce(0, owner, pair, "amin")


@MODELS.register_module()
class AdaptiveMinimumLoss(nn.Module):
    """Class and mask loss of a batch of SOLOv2's grids, see the module's text.

    With ``minimum=False, centroid=False, dice='squared'`` it is SOLOv2's loss as in mmdet.

    Args:
        minimum: a cell learns the cheapest of its candidates. False as in SOLOv2: its mask learns
            all of them, its class is that of the last.
        centroid: add eps to the mask term.
        dice: ``linear`` (Eq. 1) or ``squared`` (SOLOv2).
        sigmoid: the sigmoids of Eq. 3, on both sums and in the choice. They squash gradients.
        mask_weight: lambda.
        class_weight: factor of the focal loss.
        gamma: of the focal loss.
        alpha: of the focal loss.

    Raises:
        ValueError: naming the argument that is out of its range.

    Source:
        Liu and Kong, *Real-Time Instance Segmentation Method Based on Location Attention*,
        Sec. 2.3, Eq. 1 to 3.
    """

    def __init__(
        self,
        minimum: bool = True,
        centroid: bool = True,
        dice: str = "linear",
        sigmoid: bool = False,
        mask_weight: float = 3.0,
        class_weight: float = 1.0,
        gamma: float = 2.0,
        alpha: float = 0.25,
    ) -> None:
        super().__init__()
        if dice not in DICES:
            raise ValueError(
                f"dice '{dice}' of AdaptiveMinimumLoss is unknown; choose one of {', '.join(DICES)}"
            )
        numbers = {
            "mask_weight": mask_weight,
            "class_weight": class_weight,
            "gamma": gamma,
            "alpha": alpha,
        }
        for name, value in numbers.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            most = 1 if name == "alpha" else float("inf")
            if not number or not 0 <= value <= most or value == float("inf"):
                limit = "from 0 to 1" if name == "alpha" else "of 0 or more"
                raise ValueError(
                    f"{name} of AdaptiveMinimumLoss must be a number {limit}, got {value!r}"
                )
        for name, value in {"minimum": minimum, "centroid": centroid, "sigmoid": sigmoid}.items():
            if not isinstance(value, bool):
                raise ValueError(
                    f"{name} of AdaptiveMinimumLoss must be True or False, got {value!r}"
                )
        self.minimum = minimum
        self.centroid = centroid
        self.dice = dice
        self.sigmoid = sigmoid
        self.mask_weight = mask_weight
        self.class_weight = class_weight
        self.gamma = gamma
        self.alpha = alpha

    def extra_repr(self) -> str:
        """Switches and weights."""
        names = ("minimum", "centroid", "dice", "sigmoid", "mask_weight", "class_weight")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in (*names, "gamma", "alpha"))

    def forward(
        self,
        class_logits: Tensor,
        kernels: Tensor,
        features: Tensor,
        cell: Tensor,
        obj: Tensor,
        labels: Tensor,
        masks: Tensor,
    ) -> dict[str, Tensor]:
        """Compute both losses, in float32 (float64 stays), also under autocast.

        Args:
            class_logits: (B, N, C) of all N cells of an image.
            kernels: (B, N, E).
            features: (B, E, H, W).
            cell: (M,) int64, cells of the candidate pairs: place in the batch times N, plus cell.
            obj: (M,) int64, objects of the pairs; an object is of one image.
            labels: (O,) int64 in 0 .. C - 1.
            masks: (O, H, W), 0 or 1, any type.

        Returns:
            ``loss_mask`` and ``loss_cls``, scalars. Without pairs ``loss_mask`` is zero, or the
            sigmoid of zero; all inputs have a gradient in any case.
        """
        with without_autocast(class_logits):
            logits = full_precision(class_logits).flatten(0, 1)
            per_image = class_logits.shape[1]
            # By image, with the order within a cell kept.
            order = (cell // per_image).argsort(stable=True)
            cell, obj = cell[order], obj[order]
            cells, owner = cell.unique(return_inverse=True)
            terms = self._mask_terms(kernels, features, cells, owner, obj, masks)
            with torch.no_grad():
                chosen = choose(owner, self._cost(logits, cell, labels[obj], terms), len(cells))
            positive = torch.zeros_like(logits, dtype=torch.bool)
            positive[cells, labels[obj[chosen]]] = True
            focal = focal_terms(logits, positive, self.gamma, self.alpha).sum()
            loss_cls = self.class_weight * focal / (len(cells) + 1)
            learned = terms[chosen] if self.minimum else terms
            loss_mask = self.mask_weight * learned.sum() / max(len(cells), 1)
            if not len(cells):
                # Sums of nothing keep the graph, and cannot overflow.
                for unused in (kernels, features):
                    loss_mask = loss_mask + full_precision(unused.flatten()[:0]).sum()
            if self.sigmoid:
                loss_cls, loss_mask = loss_cls.sigmoid(), loss_mask.sigmoid()
        return {"loss_mask": loss_mask, "loss_cls": loss_cls}

    def _mask_terms(
        self,
        kernels: Tensor,
        features: Tensor,
        cells: Tensor,
        owner: Tensor,
        obj: Tensor,
        masks: Tensor,
    ) -> Tensor:
        batch, per_image = kernels.shape[:2]
        image = cells // per_image
        counts = torch.stack(
            [image.bincount(minlength=batch), image[owner].bincount(minlength=batch)]
        )
        terms = [full_precision(kernels.new_zeros(0))]
        first_cell = first_pair = 0
        # Images one by one: a sum over the masks of all would pair what never meets. Unbound at
        # once, so that the backward pass joins their gradients instead of adding whole batches.
        image_kernels, image_features = kernels.unbind(), features.unbind()
        for index, (num_cells, num_pairs) in enumerate(counts.T.tolist()):
            if not num_cells:
                continue
            pairs = slice(first_pair, first_pair + num_pairs)
            rows = cells[first_cell : first_cell + num_cells] - index * per_image
            terms.append(
                pair_mask_terms(
                    full_precision(image_kernels[index][rows]),
                    full_precision(image_features[index]),
                    owner[pairs] - first_cell,
                    obj[pairs],
                    masks,
                    self.dice,
                    self.centroid,
                )
            )
            first_cell, first_pair = first_cell + num_cells, pairs.stop
        return torch.cat(terms)

    def _cost(self, logits: Tensor, cell: Tensor, labels: Tensor, terms: Tensor) -> Tensor:
        """Cost of each pair; the last pair of a cell is the cheapest with ``minimum=False``."""
        if not self.minimum:
            return -torch.arange(len(cell), device=cell.device, dtype=torch.float32)
        rows = logits[cell]
        mine = rows.gather(1, labels[:, None])[:, 0]
        negative = torch.zeros((), dtype=torch.bool, device=rows.device)
        focal = focal_terms(rows, negative, self.gamma, self.alpha).sum(1)
        focal = focal - focal_terms(mine, negative, self.gamma, self.alpha)
        focal = focal + focal_terms(mine, ~negative, self.gamma, self.alpha)
        of_class, of_mask = self.class_weight * focal, self.mask_weight * terms
        return of_class.sigmoid() + of_mask.sigmoid() if self.sigmoid else of_class + of_mask
