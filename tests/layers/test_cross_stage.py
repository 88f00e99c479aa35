import pytest
import torch
from torch import nn

from attnseg.layers import CrossStage


@pytest.mark.parametrize(("channels", "ratio", "width"), [(8, 0.5, 4), (8, 0.25, 2), (10, 0.7, 7)])
def test_the_last_channels_pass_the_blocks_and_the_first_go_around(
    channels: int, ratio: float, width: int
) -> None:
    seen = []

    class Negate(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.shape[1])
            return -x

    layer = CrossStage(Negate(), channels, ratio).eval()
    # The transition passes its input on, but for a shift that spares it the activation.
    nn.init.dirac_(layer.transition.conv.weight)
    nn.init.constant_(layer.transition.bn.bias, 100)
    x = torch.randn(2, channels, 3, 5)
    expected = torch.cat([x[:, : channels - width], -x[:, channels - width :]], 1)
    with torch.no_grad():
        assert torch.allclose(layer(x) - 100, expected, atol=1e-4)
    assert seen == [width]


def test_every_parameter_learns_in_float64_and_the_layers_are_those_asked_for() -> None:
    norm = {"type": "GN", "num_groups": 2}
    layer = CrossStage(nn.Conv2d(3, 3, 1), 6, norm_cfg=norm, act_cfg={"type": "GELU"}).double()
    assert isinstance(layer.transition.norm, nn.GroupNorm)
    assert isinstance(layer.transition.activate, nn.GELU)
    x = torch.randn(2, 6, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    layer(x).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite(dtype: torch.dtype) -> None:
    layer = CrossStage(nn.Conv2d(4, 4, 3, padding=1), 8)
    with torch.autocast("cpu", dtype):
        out = layer(200 * torch.randn(2, 8, 5, 7))
    out.float().square().mean().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize(("channels", "ratio"), [(8, 0.0), (8, 1.0), (7, 0.5), (8, 0.3), (8, -0.5)])
def test_a_ratio_that_leaves_nothing_or_splits_a_channel_is_named(
    channels: int, ratio: float
) -> None:
    with pytest.raises(ValueError, match=f"ratio {ratio} of {channels} channels gives"):
        CrossStage(nn.Identity(), channels, ratio)
