import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from attnseg.engine.tensor_memory import TensorMemory
from attnseg.layers import pixel_attention
from attnseg.layers import tiled_attention as module
from attnseg.layers.tiled_attention import tiled_attention


def qkv(n: int = 21, m: int = 30, d: int = 5, c: int = 11) -> list[Tensor]:
    shapes = [(2, 3, n, d), (2, 3, m, d), (2, 3, m, c)]
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


def dense(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    return (q @ k.transpose(-1, -2) * scale).softmax(-1) @ v


@pytest.mark.parametrize("rows", [1, 4, 7, 21, 100])
def test_any_tile_gives_the_dense_formula_and_its_gradients(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MIN_ROWS", 1)
    monkeypatch.setattr(module, "_TILE", rows * 6 * 30)
    leaves = qkv()
    ours, theirs = tiled_attention(*leaves, 0.3), dense(*leaves, 0.3)
    assert torch.allclose(ours, theirs, atol=1e-12)
    grad = torch.randn_like(ours)
    for mine, reference in zip(
        torch.autograd.grad(ours, leaves, grad),
        torch.autograd.grad(theirs, leaves, grad),
        strict=True,
    ):
        assert torch.allclose(mine, reference, atol=1e-12)


def test_gradcheck() -> None:
    q, k, v = qkv(n=3, m=4, d=2, c=3)
    assert torch.autograd.gradcheck(lambda *t: tiled_attention(*t, 1.0), (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    # Logits of a million: float16 ends at 65504.
    q, k, v = ((200 * t.detach()).to(dtype).requires_grad_() for t in qkv(d=16))
    with torch.autocast("cpu", dtype):
        out = tiled_attention(q, k, v, 1.0)
        out.float().square().mean().backward()
    assert out.dtype == dtype
    assert out.isfinite().all()
    assert torch.allclose(out, dense(q.float(), k.float(), v.float(), 1.0).to(dtype), rtol=1e-2)
    assert all(t.grad.isfinite().all() for t in (q, k, v))


def test_no_matrix_is_alive_forward_and_backward() -> None:
    q, k, v = (torch.randn(1, 1, 2048, c, requires_grad=True) for c in (8, 8, 16))
    with TensorMemory() as memory:
        tiled_attention(q, k, v, 1.0).sum().backward()
    assert memory.peak < 4 * 2048**2 / 3
    assert max(held.nbytes for held in memory.at_peak()) <= 4 * module._TILE


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_products_are_counted(device: str) -> None:
    q, k, v = (t.detach().to(device) for t in qkv())
    with FlopCounterMode(display=False) as counter:
        pixel_attention(q, k, v, scale=1.0)
    assert counter.get_total_flops() == 2 * 6 * 21 * 30 * (5 + 11)


def test_no_queries_give_an_empty_map() -> None:
    assert tiled_attention(*qkv(n=0), 1.0).shape == (2, 3, 0, 11)


@pytest.mark.parametrize("n", [21, 0])
def test_no_keys_give_zeros_and_zero_gradients(n: int) -> None:
    """As fused kernels do: a sum over nothing."""
    leaves = qkv(n=n, m=0)
    out = tiled_attention(*leaves, 1.0)
    expected = F.scaled_dot_product_attention(*leaves)
    assert out.shape == (2, 3, n, 11) and torch.equal(out, expected)
    out.sum().backward()
    assert [t.grad.shape for t in leaves] == [t.shape for t in leaves]
    assert not any(t.grad.any() for t in leaves)
