"""Signed Euclidean distance to the boundary of a mask."""

import cv2
import numpy as np
import torch
from torch import Tensor


def signed_distance(mask: Tensor, valid: Tensor | None = None) -> Tensor:
    """Distance of each pixel's centre to the boundary of its mask, positive inside.

    The boundary runs between pixels: a pixel beside it has 0.5, so that a mask and its complement
    have opposite maps. It is taken between a pixel and the nearest pixel of the other kind, half
    a pixel before that one's centre. Computed by OpenCV on the CPU, exactly but for float32.

    Args:
        mask: (..., H, W) bool or numbers, of which those that are not zero are inside.
        valid: the same shape, bool; pixels that are neither inside nor outside where it is
            False, such as padding. All count if None.

    Returns:
        float32 of the mask's shape and device, in pixels, without gradient. A mask without
        outside has ``inf`` everywhere, one without inside ``-inf``; what is not valid has 0.

    Raises:
        ValueError: if the shapes differ or there are less than two dimensions.
    """
    if mask.ndim < 2 or (valid is not None and valid.shape != mask.shape):
        raise ValueError(
            "signed_distance expects masks (..., H, W) and valid of the same shape, got "
            f"{tuple(mask.shape)} and {None if valid is None else tuple(valid.shape)}"
        )
    inside = (mask.detach() != 0).reshape(-1, *mask.shape[-2:])
    keep = torch.ones_like(inside) if valid is None else valid.bool().reshape(inside.shape)
    maps = np.zeros(inside.shape, np.float32)
    pairs = zip(inside.cpu().numpy(), keep.cpu().numpy(), strict=True)
    for out, (own, known) in zip(maps, pairs, strict=True):
        # Places of one kind hold only their distance to the other kind, of which they have none.
        out[known] = np.where(own, _to_nearest(known & ~own), -_to_nearest(known & own))[known]
    return torch.from_numpy(maps).view(mask.shape).to(mask.device)


def _to_nearest(places: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest of the places, less half a pixel."""
    if not places.any():
        return np.full(places.shape, np.inf, np.float32)
    away = np.ascontiguousarray(~places).astype(np.uint8)
    return cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - np.float32(0.5)
