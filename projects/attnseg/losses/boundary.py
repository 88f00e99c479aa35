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
        Scalar, 0 to 32; 0 for a batch without valid pixels.

    Raises:
        ValueError: if a shape differs.
    """
    with without_autocast(logits):
        logits, target, keep = prepare("sobel_boundary", logits, target, valid)
        difference = sobel_magnitude(logits.sigmoid() * keep) - sobel_magnitude(target)
        return valid_mean(difference.square(), keep)


def distance_boundary(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Boundary loss of Kervadec et al. (MIDL 2019, Eq. 5): the mean of probability x distance.

    The distance is to the boundary of the target, negative inside, over the diagonal of the
    image, so that it does not depend on its size. Between pixels, where the boundary lies, the
    sign changes: the first pixels on either side have half a pixel (the authors' code has 0 and
    1). The least value, that of the target itself, is negative. An empty target has the distance
    1 everywhere and a full one -1, so that the loss is the mean probability or its negative;
    the authors' code has 0 for an empty target, which teaches nothing.

    Args:
        logits: (B, 1, H, W), any floating type; float64 stays, all else is float32.
        target: (B, 1, H, W), 0 or 1.
        valid: (B, 1, H, W), bool, False in the padding; None if there is none.

    Returns:
        Scalar, -1 to 1; 0 for a batch without valid pixels.

    Raises:
        ValueError: if a shape differs.
    """
    with without_autocast(logits):
        logits, target, keep = prepare("distance_boundary", logits, target, valid)
        inside = signed_distance(target, keep.bool())
        sides = [keep.amax(dim).sum(-1, keepdim=True) for dim in (2, 3)]
        diagonal = torch.linalg.vector_norm(torch.stack(sides), dim=0)[..., None]
        outside = -inside.to(logits.dtype) / diagonal.clamp(min=1)
        return valid_mean(logits.sigmoid() * outside.clamp(-1, 1), keep)


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
        loss_name: name in the log.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = "loss_distance") -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute the loss; shapes as in :func:`distance_boundary`."""
        return self.loss_weight * distance_boundary(logits, target, valid)
