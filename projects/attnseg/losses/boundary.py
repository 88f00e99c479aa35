"""Losses at the boundary of a mask: of gradients (NeuralSegmentello) and of distances (Kervadec).

Neither fits ``mmseg.BoundaryLoss``, which is a cross-entropy of predicted edges.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnseg.layers.precision import without_autocast
from attnseg.layers.signed_distance import signed_distance
from attnseg.losses.valid_pixels import prepare, valid_mean
from attnseg.registry import MODELS

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def sobel_magnitude(x: Tensor) -> Tensor:
    """Compute ``sqrt(gx^2 + gy^2 + 1e-8)`` of maps (B, 1, H, W), by 3x3 Sobel and zero padding."""
    across = x.new_tensor(_SOBEL)
    gx, gy = F.conv2d(x, torch.stack([across, across.T])[:, None], padding=1).chunk(2, 1)
    return (gx.square() + gy.square() + 1e-8).sqrt()


def sobel_boundary(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean squared difference of the Sobel magnitudes of prediction and target.

    As published: the magnitudes of the sigmoid and of the target, with zeros around the image, so
    that a mask that touches the image's edge has a boundary there. Padding is outside the image:
    it counts as those zeros, whatever it holds, and its own pixels do not enter the mean. A
    padded batch hence has the loss of its images. An empty target asks for a prediction without
    gradients, hence also without pixels along the image's edge, and a full one for a full frame.

    Args:
        logits: (B, 1, H, W), any floating type; float64 stays, all else is float32.
        target: (B, 1, H, W), 0 or 1.
        valid: (B, 1, H, W), bool, False in the padding; None if there is none.

    Returns:
        Scalar, 0 to 20; 0 for a batch without valid pixels.

    Raises:
        ValueError: if a shape differs.
    """
    with without_autocast(logits):
        logits, target, keep = prepare("sobel_boundary", logits, target, valid)
        difference = sobel_magnitude(logits.sigmoid() * keep) - sobel_magnitude(target)
        return valid_mean(difference.square(), keep)


def distance_boundary(
    logits: Tensor, target: Tensor, valid: Tensor | None = None, balanced: bool = True
) -> Tensor:
    """Boundary loss of Kervadec et al. (MIDL 2019, Eq. 5): the sum of probability x distance.

    The distance is to the boundary of the target, negative inside. The boundary runs between
    pixels, so that the first pixels on either side have half a pixel (the authors' code has 0
    and 1). The loss is linear in the probability, with its least value at the target.

    As published it is no loss to train with alone: where the object is small, the distances
    outside outweigh those inside by far, the probability falls everywhere, and no gradient is
    left to bring it back; the authors add it to a loss of regions. ``balanced`` gives both sides
    the same weight, which moves no sign and so keeps the least value where it is: the loss of an
    image is the mean probability outside less that inside, each weighted by the distance.

    An empty target has the distance 1 everywhere and a full one -1, so that the loss of the image
    is the mean probability or its negative; the authors' code has 0 for an empty target, which
    teaches nothing.

    Args:
        logits: (B, 1, H, W), any floating type; float64 stays, all else is float32.
        target: (B, 1, H, W), 0 or 1.
        valid: (B, 1, H, W), bool, False in the padding; None if there is none.
        balanced: as above, a mean over the images. Without it the paper's integral as a mean
            over all pixels, with distances over the diagonal of the image.

    Returns:
        Scalar, -1 (balanced: at the target) to 1; 0 for a batch without valid pixels.

    Raises:
        ValueError: if a shape differs.
    """
    with without_autocast(logits):
        logits, target, keep = prepare("distance_boundary", logits, target, valid)
        distance = -signed_distance(target, keep.bool()).to(logits.dtype)
        p = logits.sigmoid() * keep
        if not balanced:
            sides = [keep.amax(dim).sum(-1, keepdim=True) for dim in (2, 3)]
            diagonal = torch.linalg.vector_norm(torch.stack(sides), dim=0)[..., None]
            return valid_mean(p * (distance / diagonal.clamp(min=1)).clamp(-1, 1), keep)
        distance = torch.where(distance.isinf(), distance.sign(), distance)
        outside, inside = (
            (p * side).flatten(1).sum(1) / side.abs().flatten(1).sum(1).clamp(min=1e-6)
            for side in (distance.clamp(min=0), distance.clamp(max=0))
        )
        return (outside + inside).sum() / keep.flatten(1).amax(1).sum().clamp(min=1)


@MODELS.register_module()
class SobelBoundaryLoss(nn.Module):
    """:func:`sobel_boundary` with a weight (published: 0.2 beside 0.4 for BCE and Dice each).

    Args:
        loss_weight: factor of the loss.
        loss_name: name in the log.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = "loss_sobel") -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute the loss; shapes as in :func:`sobel_boundary`."""
        return self.loss_weight * sobel_boundary(logits, target, valid)


@MODELS.register_module()
class DistanceBoundaryLoss(nn.Module):
    """:func:`distance_boundary` with a weight.

    Args:
        loss_weight: factor of the loss.
        balanced: see :func:`distance_boundary`.
        loss_name: name in the log.
    """

    def __init__(
        self, loss_weight: float = 1.0, balanced: bool = True, loss_name: str = "loss_distance"
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.balanced = balanced
        self.loss_name = loss_name

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute the loss; shapes as in :func:`distance_boundary`."""
        return self.loss_weight * distance_boundary(logits, target, valid, self.balanced)
