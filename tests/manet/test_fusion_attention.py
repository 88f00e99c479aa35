import pytest
import torch
from torch import Tensor

from attnseg.manet import FusionAttentionBlock

SIZES = [((4, 6), (8, 12)), ((3, 5), (6, 9)), ((1, 1), (1, 1)), ((2, 3), (2, 3)), ((3, 3), (7, 4))]


def block(shared: bool = False, reduction: int = 4) -> FusionAttentionBlock:
    torch.manual_seed(0)
    return FusionAttentionBlock(6, 8, 5, reduction=reduction, shared=shared)


def literal(mfab: FusionAttentionBlock, high: Tensor, skip: Tensor) -> Tensor:
    """The equations of the source, with matrices in place of the 1x1 convolutions."""
    high = mfab.high_conv(high)

    def weights(layers: torch.nn.Sequential, x: Tensor) -> Tensor:
        p2, p1 = layers[1], layers[3]
        s = x.mean((2, 3))
        hidden = (s @ p2.weight.flatten(1).T + p2.bias).relu()
        return (hidden @ p1.weight.flatten(1).T + p1.bias).sigmoid()

    z = weights(mfab.high_weights, high) + weights(mfab.skip_weights, skip)
    rows = torch.arange(skip.shape[2]) * high.shape[2] // skip.shape[2]
    columns = torch.arange(skip.shape[3]) * high.shape[3] // skip.shape[3]
    high = (high * z[:, :, None, None])[:, :, rows][:, :, :, columns]
    return mfab.fuse(torch.cat([high, skip], 1))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shared", [False, True])
def test_agrees_with_the_equations(sizes: tuple, shared: bool) -> None:
    mfab = block(shared).double().eval()
    high = torch.randn(2, 6, *sizes[0], dtype=torch.float64)
    skip = torch.randn(2, 8, *sizes[1], dtype=torch.float64)
    out = mfab(high, skip)
    assert out.shape == (2, 5, *sizes[1])
    assert torch.allclose(out, literal(mfab, high, skip), atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_every_parameter_gets_a_gradient(shared: bool) -> None:
    mfab = block(shared)
    inputs = [torch.randn(2, 6, 3, 4, requires_grad=True), torch.randn(2, 8, 6, 8)]
    (mfab(*inputs) * torch.randn(2, 5, 6, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in mfab.parameters())
    assert inputs[0].grad.abs().max() > 0


def test_sharing_uses_one_pair_of_layers() -> None:
    own, shared = (sum(p.numel() for p in block(s).parameters()) for s in (False, True))
    assert own - shared == 2 * 8 * 2 + 8 + 2
    mfab = block(True)
    assert mfab.high_weights is mfab.skip_weights


def test_reduction_sets_the_bottleneck_which_never_vanishes() -> None:
    assert block(reduction=2).high_weights[1].out_channels == 4
    assert block(reduction=100).skip_weights[1].out_channels == 1


def test_one_image_trains_with_batch_norm() -> None:
    mfab = block().train()
    out = mfab(torch.randn(1, 6, 2, 3), torch.randn(1, 8, 4, 6))
    out.sum().backward()
    assert out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_finite_under_autocast(dtype: torch.dtype) -> None:
    mfab = block()
    with torch.autocast("cpu", dtype):
        out = mfab(1e4 * torch.randn(2, 6, 3, 4), 1e4 * torch.randn(2, 8, 6, 8))
    assert out.isfinite().all()


def test_norm_and_activation_are_those_given() -> None:
    mfab = FusionAttentionBlock(
        4, 4, 4, norm_cfg={"type": "GN", "num_groups": 2}, act_cfg={"type": "GELU"}
    )
    kinds = [type(m).__name__ for m in mfab.modules()]
    assert kinds.count("GroupNorm") == kinds.count("GELU") == 4
    assert "BatchNorm2d" not in kinds


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 4, 4, 4 and 0"):
        FusionAttentionBlock(4, 4, 4, reduction=0)
