"""Instance Activation layer: queries guided by where the objects are (paper, Sec. 5)."""

import torch
from torch import Tensor, nn

from attnseg.layers import to_tokens


class InstanceActivation(nn.Module):
    """N activation maps, and the mean of the instance features under each (Eq. 1).

    a = softmax(f(X)) over the pixels, with f a 3x3 convolution, and q = a X^T. The paper speaks of
    selecting queries of high foreground probability; neither its equation nor its code selects,
    and nothing is selected here. A bias of f would cancel in the softmax, so there is none.

    Args:
        channels: of the instance features.
        num_queries: N.

    Source:
        Sec. 5, Eq. 1; initial standard deviation 0.01 as in the published code.
    """

    def __init__(self, channels: int, num_queries: int) -> None:
        super().__init__()
        self.activate = nn.Conv2d(channels, num_queries, 3, padding=1, bias=False)
        nn.init.normal_(self.activate.weight, std=0.01)

    def maps(self, x: Tensor) -> Tensor:
        """Activation maps (B, N, H, W) of features (B, C, H, W); each sums to 1 over pixels."""
        logits = self.activate(x)
        return torch.softmax(logits.flatten(2).float(), -1).view(logits.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) to queries (B, N, C)."""
        return self.maps(x).flatten(2).to(x.dtype) @ to_tokens(x)
