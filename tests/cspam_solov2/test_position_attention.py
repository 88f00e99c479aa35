import pytest
import torch
from mmdet.registry import MODELS as DET_MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from attnseg.cspam_solov2 import PositionAttentionModule
from attnseg.engine.tensor_memory import TensorMemory


def trained(channels: int = 32, scale: float | str = 1.0) -> PositionAttentionModule:
    """A module away from its start, where T2 and theta are zero."""
    torch.manual_seed(0)
    layer = PositionAttentionModule(channels, scale=scale)
    nn.init.normal_(layer.t2.weight)
    nn.init.constant_(layer.theta, 0.7)
    return layer


def dense(layer: PositionAttentionModule, x: Tensor, scale: float) -> Tensor:
    """Sec. 2.1 pixel by pixel, with the matrix written out."""
    batch, _, height, width = x.shape

    def project(conv: nn.Conv2d, y: Tensor) -> Tensor:
        out = torch.einsum("oc,bcn->bon", conv.weight[:, :, 0, 0], y)
        return out if conv.bias is None else out + conv.bias[:, None]

    flat = x.reshape(batch, -1, height * width)
    p, a, m = (project(conv, flat) for conv in (layer.p, layer.a, layer.m))
    # Row: a pixel of P; its weights over the pixels of A sum to 1.
    weights = (torch.einsum("bci,bcj->bij", p, a) * scale).softmax(2)
    t2 = project(layer.t2, torch.einsum("bij,bcj->bci", weights, m))
    merged = project(layer.fuse, torch.cat([layer.theta * m, t2], 1))
    return x + merged.reshape(x.shape)


@pytest.mark.parametrize(("scale", "factor"), [(1.0, 1.0), (0.3, 0.3), ("sqrt", 0.5)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 3)])
def test_it_is_the_formula_of_the_paper(
    scale: float | str, factor: float, size: tuple[int, int]
) -> None:
    layer = trained(scale=scale).double()
    x = torch.randn(2, 32, *size, dtype=torch.float64)
    with torch.no_grad():
        out = layer(x)
        assert torch.allclose(out, dense(layer, x, factor), atol=1e-10)
    assert not torch.allclose(out, x, atol=1e-2)


def test_gradients_are_exact() -> None:
    layer = trained(16).double()
    x = torch.randn(1, 16, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


def test_it_starts_as_the_identity_and_every_parameter_learns_from_the_second_step_on() -> None:
    torch.manual_seed(0)
    layer = PositionAttentionModule(32)
    x, target = torch.randn(2, 2, 32, 6, 5)
    assert torch.equal(layer(x), x)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    (layer(x) - target).square().sum().backward()
    # At once: what starts at zero.
    assert layer.theta.grad.abs().max() > 0 and layer.t2.weight.grad.abs().max() > 0
    optimizer.step()
    optimizer.zero_grad()
    (layer(x) - target).square().sum().backward()
    silent = [n for n, p in layer.named_parameters() if not p.grad.abs().max() > 0]
    assert not silent


def test_the_start_survives_a_parent_that_initialises_all_convolutions() -> None:
    class Parent(BaseModule):
        def __init__(self) -> None:
            super().__init__({"type": "Kaiming", "layer": "Conv2d"})
            self.attention = PositionAttentionModule(16)

    parent = Parent()
    before = parent.attention.p.weight.clone()
    parent.init_weights()
    assert not torch.equal(parent.attention.p.weight, before)
    x = torch.randn(1, 16, 4, 3)
    assert torch.equal(parent.attention(x), x)


@pytest.mark.parametrize("channels", [32, 64])
@pytest.mark.parametrize("training", [True, False])
def test_no_matrix_of_all_pairs_is_made(channels: int, training: bool) -> None:
    """80x80 tokens: the matrix alone would be 156 MiB.

    Of 64 channels the queries have 8, which kernels take without padding, and so as they lie.
    """
    layer = trained(channels)
    x = torch.randn(1, channels, 80, 80, requires_grad=training)
    with TensorMemory() as memory, torch.set_grad_enabled(training):
        out = layer(x)
        if training:
            out.square().mean().backward()
    assert memory.peak < 30 * 2**20, memory.at_peak()[:5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, "sqrt"])
def test_large_activations_stay_finite_under_autocast(
    dtype: torch.dtype, scale: float | str
) -> None:
    layer = trained(64, scale)
    for conv in (layer.p, layer.a):
        nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    x = (200 * torch.randn(2, 64, 7, 9)).requires_grad_()
    with torch.autocast("cpu", dtype):
        # The unnormalised product of the paper, in this precision.
        p, a = layer.p(x).flatten(2), layer.a(x).flatten(2)
        overflows = not (p.transpose(1, 2) @ a).isfinite().all()
        out = layer(x)
    out.float().mean().backward()
    assert overflows == (dtype is torch.float16)
    assert out.isfinite().all() and x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_half_weights_give_half_maps() -> None:
    layer = trained().bfloat16()
    assert layer(torch.randn(1, 32, 4, 5).bfloat16()).dtype == torch.bfloat16


def test_it_is_a_plugin_of_a_plain_resnet() -> None:
    plugin = {
        "cfg": {"type": "attnseg.PositionAttentionModule", "scale": "sqrt"},
        "stages": (False, False, False, True),
        "position": "after_conv3",
    }
    # Else the norm before the plugin gives zeros at the start.
    cfg = {"depth": 50, "base_channels": 8, "plugins": [plugin], "zero_init_residual": False}
    model = DET_MODELS.build({"type": "mmdet.ResNet", **cfg})
    model.init_weights()
    modules = [m for m in model.modules() if isinstance(m, PositionAttentionModule)]
    assert len(modules) == 3 and not any(m.t2.weight.any() for m in modules)
    model.train()
    sum(m.mean() for m in model(torch.rand(1, 3, 64, 64))).backward()
    assert all(m.t2.weight.grad.abs().max() > 0 for m in modules)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="of 36 channels with reduction 8: reduction must"):
        PositionAttentionModule(36)
    with pytest.raises(ValueError, match="reduction must be at least 2"):
        PositionAttentionModule(36, reduction=1)
    for reduction in (2.0, None, "8", True):
        with pytest.raises(ValueError, match=f"must be a whole number.*{reduction!r}"):
            PositionAttentionModule(36, reduction=reduction)
    for scale in ("root", 0, -1.0, None, True, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="scale of .* must be a number above 0 or 'sqrt'"):
            PositionAttentionModule(16, scale=scale)
