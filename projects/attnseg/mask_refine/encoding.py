"""Channels that a refinement network sees: of the image, and of the masks and strokes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from attnseg.layers.signed_distance import signed_distance

# How OpenCV weighs B, G and R of uint8 images: BT.601 in units of 2**-15.
_GRAY = (3735, 19235, 9798)
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
IMAGE_CHANNELS = {"gray": 1, "gradient": 1, "rgb": 3}
MASK_CHANNELS = {"coarse": 1, "distance": 1, "add": 1, "remove": 1}


def gray_levels(image: Tensor) -> Tensor:
    """Gray of a uint8 BGR image (3, H, W), exactly as ``cv2.cvtColor`` rounds it; (1, H, W)."""
    blue, green, red = (
        channel * weight for channel, weight in zip(image.int(), _GRAY, strict=True)
    )
    return ((blue + green + red + (1 << 14)) >> 15).to(torch.uint8)[None]


def gradient_magnitude(gray: Tensor) -> Tensor:
    """Sobel magnitude of one image over its greatest, as published.

    As ``cv2.Sobel`` (float32, 3x3) gives it with its reflected border, then divided by the
    maximum + 1e-8.

    Args:
        gray: (1, H, W), 0 to 255.

    Returns:
        float32 (1, H, W), 0 to 1; all 0 for an even image.
    """
    x = gray.float()
    rows, cols = (_reflected(side, x.device) for side in x.shape[-2:])
    x = x[:, rows][:, :, cols]
    across = x[:, :, 2:] - x[:, :, :-2]
    down = x[:, 2:] - x[:, :-2]
    gx = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    gy = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    magnitude = (gx.square() + gy.square()).sqrt()
    return magnitude / (magnitude.max() + 1e-8)


def _reflected(size: int, device: torch.device) -> Tensor:
    """Indices with one more at both ends, reflected without repeating the edge."""
    at = torch.arange(-1, size + 1, device=device).abs()
    return torch.minimum(at, 2 * (size - 1) - at).clamp(min=0)


def image_channels(image: Tensor, names: list[str], blank: bool) -> list[Tensor]:
    """Encode one image.

    Args:
        image: uint8 BGR (3, H, W).
        names: of :data:`IMAGE_CHANNELS`.
        blank: zeros in place of them all.

    Returns:
        For each name float32 (C, H, W): ``gray`` 0 to 1, ``gradient`` 0 to 1, ``rgb`` with
        ImageNet's mean and deviation taken out.
    """
    if blank:
        return [image.new_zeros(IMAGE_CHANNELS[n], *image.shape[1:]).float() for n in names]
    gray = gray_levels(image) if {"gray", "gradient"} & set(names) else image[:1]
    maps = []
    for name in names:
        if name == "gray":
            maps.append(gray / 255)
        elif name == "gradient":
            maps.append(gradient_magnitude(gray))
        else:
            mean, std = (image.new_tensor(v, dtype=torch.float32) for v in (_MEAN, _STD))
            maps.append((image.flip(0) / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    return maps


def mask_channel(
    name: str, masks: dict[str, Tensor], valid: Tensor, distance_scale: float | Tensor
) -> Tensor:
    """Encode the masks of a batch.

    Args:
        name: of :data:`MASK_CHANNELS`.
        masks: ``coarse``, ``add`` and ``remove``, each (B, 1, H, W) bool.
        valid: (B, 1, H, W) bool, False in the padding.
        distance_scale: pixels at which ``distance`` ends; one, or (B, 1, 1, 1).

    Returns:
        float32 (B, 1, H, W), 0 or 1; ``distance`` -1 to 1, positive inside the coarse mask, 1
        for a full and -1 for an empty one. 0 in the padding.
    """
    if name == "distance":
        return (signed_distance(masks["coarse"], valid) / distance_scale).clamp(-1, 1)
    return (masks[name] & valid).float()


def pad_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pad (C, h, w) with zeros at the right and the bottom."""
    return F.pad(x, (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2]))
