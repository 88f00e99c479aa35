"""Additive attention gate on a skip connection (Attention U-Net, as NeuralSegmentello uses it)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionGate(nn.Module):
    """Weigh each pixel of a skip by how the map from below answers to it.

    ``skip * sigmoid(norm(psi(relu(norm(Wg up) + norm(Wx skip)))))``, as the published code has it;
    the paper gives no formula. The last norm is over the pixels of one map: it fixes the mean of
    the gate's logit for each image by its scale and shift, whatever the image shows.

    Args:
        channels: of the skip and of the map from below; half of them are compared.
        num_groups: groups of the two inner norms.

    Raises:
        ValueError: if half the channels do not split into the groups.
    """

    def __init__(self, channels: int, num_groups: int = 8) -> None:
        super().__init__()
        inner = channels // 2
        if channels % 2 or inner % num_groups:
            raise ValueError(
                f"attention gates compare half of {channels} channels, which does not split into "
                f"{num_groups} groups; choose widths that {2 * num_groups} divides"
            )
        self.from_up = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.GroupNorm(num_groups, inner))
        self.from_skip = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.GroupNorm(num_groups, inner)
        )
        self.psi = nn.Conv2d(inner, 1, 1)
        self.norm = nn.GroupNorm(1, 1)

    def forward(self, up: Tensor, skip: Tensor) -> Tensor:
        """Gate the skip (B, C, H, W) by a map (B, C, h, w) of about its size."""
        asked = self.from_up(up)
        if asked.shape[-2:] != skip.shape[-2:]:
            asked = F.interpolate(asked, skip.shape[-2:], mode="bilinear", align_corners=False)
        psi = self.psi(F.relu(asked + self.from_skip(skip)))
        # nn.GroupNorm refuses a single value, which an image of one pixel gives.
        psi = torch.group_norm(psi, 1, self.norm.weight, self.norm.bias, self.norm.eps)
        return skip * psi.sigmoid()
