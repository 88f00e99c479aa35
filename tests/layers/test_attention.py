import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attnseg.engine.tensor_memory import TensorMemory
from attnseg.layers import attention
from attnseg.layers.attention import pixel_attention, pool_tokens, to_map, to_tokens


def dense_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    keep: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """The plain formula, with every row of the matrix written out."""
    logits = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        logits = logits + bias[..., None, :]
    if keep is not None:
        logits = logits.masked_fill(~keep[..., None, :], -math.inf)
    return logits.softmax(-1) @ v


def qkv(batch: int = 2, heads: int = 3, n: int = 20, m: int = 30, d: int = 5) -> list[Tensor]:
    shapes = [(batch, heads, n, d), (batch, heads, m, d), (batch, heads, m, d)]
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


@given(
    batch=st.integers(1, 3), channels=st.integers(1, 5), h=st.integers(1, 9), w=st.integers(1, 9)
)
def test_round_trip_is_the_identity(batch: int, channels: int, h: int, w: int) -> None:
    x = torch.randn(batch, channels, h, w)
    assert torch.equal(to_map(to_tokens(x), (h, w)), x)


def test_a_token_is_the_channel_vector_of_its_pixel() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(to_tokens(x)[1, 2 * 5 + 3], x[1, :, 2, 3])


def test_to_map_rejects_a_wrong_size() -> None:
    with pytest.raises(ValueError, match="12 tokens do not fill a map of 3x5"):
        to_map(torch.zeros(1, 12, 2), (3, 5))


def test_attention_to_itself_only_keeps_every_value_in_place() -> None:
    # Orthogonal, long queries and keys: each pixel sees nothing but itself.
    x = torch.randn(1, 7, 3, 4)
    q = k = (50 * torch.eye(12))[None, None]
    out = pixel_attention(q, k, to_tokens(x)[:, None].expand(-1, 1, -1, -1)[..., :12])
    assert torch.allclose(to_map(out[:, 0], (3, 4)), x, atol=1e-6)


@pytest.mark.parametrize("bias_shape", [(2, 30), (2, 1, 30), (2, 3, 30)])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_the_dense_formula_and_its_gradient(
    bias_shape: tuple[int, ...], masked: bool
) -> None:
    torch.manual_seed(0)
    inputs = qkv()
    bias = torch.randn(bias_shape, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(2, 3, 30) > 0.6 if masked else None
    full = bias[:, None] if bias.dim() == 2 else bias
    expected = dense_attention(*inputs, bias=full.expand(-1, 3, -1), keep=keep)
    actual = pixel_attention(*inputs, key_bias=bias, key_keep=keep)
    assert torch.allclose(actual, expected, atol=1e-12)
    weights = torch.randn_like(expected)
    for one, two in zip(
        torch.autograd.grad((actual * weights).sum(), [*inputs, bias]),
        torch.autograd.grad((expected * weights).sum(), [*inputs, bias]),
        strict=True,
    ):
        assert torch.allclose(one, two, atol=1e-12)


def test_gradcheck() -> None:
    inputs = qkv(1, 2, 4, 6, 3)
    bias = torch.randn(1, 2, 6, dtype=torch.float64, requires_grad=True)
    keep = torch.tensor([[True, False, True, True, False, True]])
    assert torch.autograd.gradcheck(
        lambda q, k, v, b: pixel_attention(q, k, v, key_bias=b, key_keep=keep), (*inputs, bias)
    )


def test_a_custom_scale_reaches_the_bias_unchanged() -> None:
    inputs = qkv()
    bias = torch.randn(2, 3, 30, dtype=torch.float64)
    expected = dense_attention(*inputs, bias=bias, scale=1.0)
    assert torch.allclose(pixel_attention(*inputs, key_bias=bias, scale=1.0), expected)


def test_a_row_without_kept_keys_attends_to_all() -> None:
    inputs = qkv()
    keep = torch.ones(2, 30, dtype=torch.bool)
    keep[0] = False
    out = pixel_attention(*inputs, key_keep=keep)
    assert torch.allclose(out, dense_attention(*inputs))


@settings(deadline=None, max_examples=25)
@given(h=st.integers(1, 9), w=st.integers(1, 9), stride=st.integers(1, 4))
def test_pooling_is_the_mean_over_cells(h: int, w: int, stride: int) -> None:
    x = torch.randn(2, 3, h, w)
    pooled = pool_tokens(to_tokens(x), (h, w), stride)
    cells = [
        x[:, :, i : i + stride, j : j + stride].mean((2, 3))
        for i in range(0, h, stride)
        for j in range(0, w, stride)
    ]
    assert torch.allclose(pooled, torch.stack(cells, 1), atol=1e-6)


def test_strided_keys_equal_dense_attention_on_pooled_keys() -> None:
    q, k, v = qkv(n=35, m=35)
    bias = torch.randn(2, 3, 35, dtype=torch.float64)

    def pool(x: Tensor) -> Tensor:
        return torch.stack([pool_tokens(x[:, i], (5, 7), 2) for i in range(3)], 1)

    expected = dense_attention(q, pool(k), pool(v), bias=pool(bias[..., None])[..., 0])
    actual = pixel_attention(q, k, v, key_bias=bias, kv_stride=2, size=(5, 7))
    assert torch.allclose(actual, expected)


def test_stride_keeps_a_cell_with_one_kept_pixel_and_needs_the_size() -> None:
    q, k, v = qkv(n=16, m=16)
    keep = torch.zeros(2, 16, dtype=torch.bool)
    keep[:, 5] = True
    out = pixel_attention(q, k, v, key_keep=keep, kv_stride=2, size=(4, 4))
    cell = v.unflatten(2, (4, 4))[:, :, :2, :2].mean((2, 3))
    assert torch.allclose(out, cell[:, :, None].expand_as(out))
    with pytest.raises(ValueError, match="kv_stride above 1 needs size"):
        pixel_attention(q, k, v, kv_stride=2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_activations_stay_finite_in_half_precision(dtype: torch.dtype) -> None:
    q, k, v = (200 * torch.randn(1, 2, 64, 16).to(dtype) for _ in range(3))
    keep = torch.rand(1, 64) > 0.5
    with torch.autocast("cpu", dtype):
        out = pixel_attention(q, k, v, key_bias=torch.randn(1, 64), key_keep=keep)
    assert out.isfinite().all()


def test_compiled_graph_gives_the_same_as_gathering() -> None:
    inputs = [x.detach().float() for x in qkv()]
    keep = torch.rand(2, 30) > 0.5
    eager = pixel_attention(*inputs, key_keep=keep)
    exported = torch.compile(pixel_attention, backend="eager")(*inputs, key_keep=keep)
    assert torch.allclose(eager, exported, atol=1e-6)


@pytest.mark.parametrize(("batch", "heads", "pairs"), [(1, 1, 4), (1, 3, 6), (2, 3, 6)])
def test_backward_on_a_cpu_gives_each_thread_a_pair(
    batch: int, heads: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel shares out (batch, head) pairs alone: one pair took 50 times longer."""
    seen = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def spy(q: Tensor, k: Tensor, v: Tensor, **kwargs: object) -> Tensor:
        seen.append(q.shape[0] * q.shape[1])
        return kernel(q, k, v, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    q, k, v = qkv(batch, heads, n=21)
    bias = torch.randn(batch, heads, 30, dtype=torch.float64, requires_grad=True)
    leaves = [q, k, v, bias]
    ours, theirs = pixel_attention(q, k, v, bias), dense_attention(q, k, v, bias)
    assert torch.allclose(ours, theirs, atol=1e-12)
    grad = torch.randn_like(ours)
    for mine, reference in zip(
        torch.autograd.grad(ours, leaves, grad),
        torch.autograd.grad(theirs, leaves, grad),
        strict=True,
    ):
        assert torch.allclose(mine, reference, atol=1e-12)
    with torch.no_grad():
        pixel_attention(q, k, v)
    pixel_attention(q.detach(), k.detach(), v.detach())
    assert seen == [pairs, batch * heads, batch * heads]


def wide(depth: int, batch: int = 2, heads: int = 3, n: int = 21, m: int = 30) -> list[Tensor]:
    """Queries and keys of 5 channels, values of ``depth``."""
    shapes = [(batch, heads, n, 5), (batch, heads, m, 5), (batch, heads, m, depth)]
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


def agree_with_gradients(ours: Tensor, theirs: Tensor, leaves: list[Tensor]) -> None:
    assert torch.allclose(ours, theirs, atol=1e-12)
    weights = torch.randn_like(theirs)
    for mine, reference in zip(
        torch.autograd.grad(ours, leaves, weights),
        torch.autograd.grad(theirs, leaves, weights),
        strict=True,
    ):
        assert torch.allclose(mine, reference, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 4, 10, 37, 300])
@pytest.mark.parametrize("masked", [False, True])
def test_values_of_another_width_agree_with_the_dense_formula(depth: int, masked: bool) -> None:
    leaves = wide(depth)
    bias = torch.randn(2, 3, 30, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(2, 3, 30) > 0.6 if masked else None
    ours = pixel_attention(*leaves, key_bias=bias, key_keep=keep, scale=1.0)
    theirs = dense_attention(*leaves, bias=bias, keep=keep, scale=1.0)
    agree_with_gradients(ours, theirs, [*leaves, bias])


@pytest.mark.parametrize(("depth", "width"), [(37, 8), (16, 16), (40, 16), (6, 1)])
def test_slices_of_columns_agree_with_the_dense_formula(depth: int, width: int) -> None:
    leaves = wide(depth)
    ours = attention._in_slices(*leaves, scale=0.7, width=width)
    agree_with_gradients(ours, dense_attention(*leaves, scale=0.7), leaves)


def test_columns_are_sliced_where_no_kernel_is_wide_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def spy(q: Tensor, k: Tensor, v: Tensor, **kwargs: object) -> Tensor:
        seen.append((q.shape[1], *(t.shape[-1] for t in (q, k, v))))
        return kernel(q, k, v, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    q, k, v = (torch.randn(1, 1, 3, d) for d in (200, 200, 300))
    out = pixel_attention(q, k, v)
    assert torch.allclose(out, dense_attention(q, k, v), atol=1e-6)
    assert seen == [(2, 200, 200, 200)]
    # Wider queries than a kernel takes gain nothing by it.
    q, k, v = (torch.randn(1, 1, 3, d) for d in (264, 264, 300))
    pixel_attention(q, k, v)
    assert seen[1:] == [(1, 304, 304, 304)]


def test_wide_values_are_attended_to_alike_in_a_compiled_graph() -> None:
    inputs = [x.detach().float() for x in wide(40)]
    compiled = torch.compile(pixel_attention, backend="eager")(*inputs)
    assert torch.allclose(pixel_attention(*inputs), compiled, atol=1e-6)


def test_tokens_of_a_map_make_no_matrix_of_all_pairs() -> None:
    """Channels of such tokens lie far apart, from which the fused kernel of a CPU shrinks."""
    count = 48 * 48
    q, k, v = (to_tokens(torch.randn(1, 16, 48, 48))[:, None] for _ in range(3))
    with TensorMemory() as memory:
        found = pixel_attention(q, k, v)
    assert max(holding.nbytes for holding in memory.at_peak()) < count * count
    torch.testing.assert_close(found, dense_attention(q, k, v), atol=1e-5, rtol=1e-5)
