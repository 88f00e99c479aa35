import pytest
import torch
from torch import Tensor

from attnseg.manet import PositionAttentionBlock
from attnseg.manet.position_attention import SCALES

SIZES = [(4, 6), (5, 7), (1, 1), (1, 9)]


def block(scale: str = "one", alpha: float = 0.7, **widths: int) -> PositionAttentionBlock:
    torch.manual_seed(0)
    widths = {"in_channels": 3, "channels": 10, "attention_channels": 4, **widths}
    made = PositionAttentionBlock(**widths, scale=scale).double()
    with torch.no_grad():
        made.alpha.fill_(alpha)
    return made


def literal(pab: PositionAttentionBlock, x: Tensor) -> Tensor:
    """The equations of the source with all N x N weights; i runs over keys, j over outputs."""
    i0 = pab.input_conv(x)
    b, c, h, w = i0.shape
    keys, queries, values = (conv(i0).flatten(2) for conv in (pab.key, pab.query, pab.value))
    factor = pab.scale
    rows = []
    for j in range(h * w):
        logits = factor * torch.einsum("bdi,bd->bi", keys, queries[:, :, j])
        p = logits.exp() / logits.exp().sum(1, keepdim=True)
        rows.append(torch.einsum("bi,bci->bc", p, values))
    gathered = torch.stack(rows, 2).reshape(b, c, h, w)
    return pab.output_conv(pab.alpha * gathered + i0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", SCALES)
def test_agrees_with_the_equations_and_their_gradients(size: tuple[int, int], scale: str) -> None:
    pab = block(scale)
    assert pab.scale == (1.0 if scale == "one" else 0.5)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    leaves = [x, *pab.parameters()]
    ours, theirs = pab(x), literal(pab, x)
    assert torch.allclose(ours, theirs, atol=1e-12)
    weights = torch.randn_like(ours)
    grads = torch.autograd.grad((ours * weights).sum(), leaves)
    for mine, reference in zip(
        grads, torch.autograd.grad((theirs * weights).sum(), leaves), strict=True
    ):
        assert torch.allclose(mine, reference, atol=1e-10)
    # One place alone has no choice, and the choice is all that queries and keys make.
    unused = {"key.weight", "query.weight", "query.bias"} if size == (1, 1) else set()
    for (name, _), grad in zip(pab.named_parameters(), grads[1:], strict=True):
        assert (grad.abs().max() < 1e-12) == (name in unused), name


def test_starts_as_two_convolutions() -> None:
    pab = PositionAttentionBlock(3, 8, 4)
    x = torch.randn(2, 3, 5, 7)
    assert pab.alpha == 0
    assert torch.equal(pab(x), pab.output_conv(pab.input_conv(x)))
    pab(x).square().sum().backward()
    assert pab.alpha.grad.abs() > 0


def test_equal_values_stay_and_a_strong_key_is_copied_everywhere() -> None:
    pab = block(in_channels=4, channels=4, attention_channels=4)
    x = torch.randn(1, 4, 3, 5, dtype=torch.float64)
    with torch.no_grad():
        pab.value.weight.zero_()
    assert torch.allclose(pab.attend(x), pab.value.bias[None, :, None, None].expand(1, 4, 3, 5))
    with torch.no_grad():
        pab.value.weight.copy_(torch.eye(4)[:, :, None, None])
        pab.value.bias.zero_()
        pab.query.weight.zero_()
        pab.query.bias.fill_(1)
        pab.key.weight.zero_()[0, 0] = 1e3
    x[0, 0, 1, 3] = 5
    assert torch.allclose(pab.attend(x), x[:, :, 1:2, 3:4].expand_as(x))


def test_places_do_not_mix_with_channels() -> None:
    """Queries that see only their own key leave each value where it is."""
    pab = block(in_channels=12, channels=12, attention_channels=12)
    with torch.no_grad():
        for conv, gain in ((pab.query, 50.0), (pab.key, 1.0), (pab.value, 1.0)):
            conv.weight.copy_(gain * torch.eye(12)[:, :, None, None])
        pab.query.bias.zero_()
        pab.value.bias.zero_()
    x = torch.eye(12, dtype=torch.float64).reshape(1, 12, 3, 4)
    assert torch.allclose(pab.attend(x), x, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_activations_stay_finite_where_the_plain_product_overflows(
    dtype: torch.dtype,
) -> None:
    pab = block(channels=16).float()
    x = 1000 * torch.randn(2, 3, 6, 5)
    with torch.no_grad():
        for conv in (pab.query, pab.key):
            conv.weight.mul_(4)
    with torch.autocast("cpu", dtype):
        i0 = pab.input_conv(x)
        q, k = (conv(i0).flatten(2) for conv in (pab.query, pab.key))
        product = q.transpose(1, 2) @ k
        out = pab(x)
        (1e-3 * out.float().square().mean()).backward()
    assert i0.isfinite().all()
    assert product.isfinite().all() == (dtype == torch.bfloat16)
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in pab.parameters())
    exact = pab.output_conv(i0.float() + pab.alpha * pab.attend(i0.float()))
    assert (out - exact).abs().max() < 0.01 * exact.abs().max()


def test_counts_on_devices_without_autocast() -> None:
    pab = PositionAttentionBlock(3, 8, 4).to("meta")
    assert pab(torch.empty(1, 3, 5, 7, device="meta")).shape == (1, 8, 5, 7)


def test_exported_graph_agrees() -> None:
    pab = block().float().eval()
    x = torch.randn(1, 3, 4, 6)
    compiled = torch.compile(pab, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(x), pab(x), atol=1e-5)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="scale 'two' is unknown; choose one of one, sqrt"):
        PositionAttentionBlock(3, scale="two")
    with pytest.raises(ValueError, match="must be at least 1, got 3, 0 and 64"):
        PositionAttentionBlock(3, 0)


def test_widths_of_the_paper() -> None:
    pab = PositionAttentionBlock(256)
    shapes = {name: tuple(m.weight.shape) for name, m in pab.named_children()}
    assert shapes["input_conv"] == (512, 256, 3, 3)
    assert shapes["query"] == shapes["key"] == (64, 512, 1, 1)
    assert shapes["value"] == (512, 512, 1, 1)
    assert shapes["output_conv"] == (512, 512, 3, 3)
