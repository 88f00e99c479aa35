import pytest
import torch
from torch import Tensor

from attnseg.layers import MaskAttention
from attnseg.layers.mask_attention import MASK_MODES


def dense_module(layer: MaskAttention, x: Tensor) -> Tensor:
    """Eq. 1 and 2 written out with the full matrix, for stride 1 and a dynamic mask."""
    batch, channels, height, width = x.shape
    tokens = x.permute(0, 2, 3, 1).reshape(batch, -1, channels)
    normed = layer.norm(tokens)
    k, v = layer.key_value(normed).chunk(2, -1)
    q = layer.query(normed)
    bias = torch.nn.functional.logsigmoid(layer.mask_logit(normed))
    depth = channels // layer.num_heads
    heads = []
    for h in range(layer.num_heads):
        part = slice(h * depth, (h + 1) * depth)
        logits = q[..., part] @ k[..., part].transpose(1, 2) / depth**0.5
        logits = logits + bias[..., h][:, None, :]
        heads.append(logits.softmax(-1) @ v[..., part])
    a = tokens + layer.proj(torch.cat(heads, -1))
    out = a + layer.ffn(a)
    return out.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


def test_dynamic_mode_is_equations_1_and_2() -> None:
    torch.manual_seed(0)
    layer = MaskAttention(16)
    x = torch.randn(2, 16, 5, 7)
    assert torch.allclose(layer(x), dense_module(layer, x), atol=1e-5)


@pytest.mark.parametrize("mode", MASK_MODES)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 8)])
def test_every_mode_keeps_the_shape_and_trains_every_parameter(
    mode: str, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    layer = MaskAttention(8, mask_mode=mode, kv_stride=2)
    out = layer(torch.randn(2, 8, *size))
    assert out.shape == (2, 8, *size)
    (out * torch.randn_like(out)).sum().backward()
    silent = [n for n, p in layer.named_parameters() if p.grad is None]
    assert not silent
    if size != (1, 1):
        assert all(p.grad.abs().max() > 0 for p in layer.parameters())


def test_a_masked_key_has_no_influence() -> None:
    layer = MaskAttention(8, mask_mode="binary").eval()
    with torch.no_grad():
        layer.mask_logit.weight.zero_()
        layer.mask_logit.weight[:, 0] = 5
        layer.mask_logit.bias.fill_(0)
    x = torch.randn(1, 8, 4, 4)
    x[:, 0] = 3
    x[:, 0, 1, 2] = -30
    changed = x.clone()
    changed[:, 1:, 1, 2] += torch.randn(1, 7)
    same = torch.ones(4, 4, dtype=torch.bool)
    same[1, 2] = False
    with torch.no_grad():
        assert torch.allclose(layer(x)[..., same], layer(changed)[..., same], atol=1e-6)


def test_binary_keeps_a_key_even_if_all_logits_are_negative() -> None:
    layer = MaskAttention(8, mask_mode="binary").eval()
    torch.nn.init.constant_(layer.mask_logit.bias, -100)
    assert layer(torch.randn(1, 8, 6, 6)).isfinite().all()


def test_binary_trains_with_the_forward_of_test_time() -> None:
    layer = MaskAttention(8, mask_mode="binary")
    x = torch.randn(2, 8, 6, 6)
    assert torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-5)


def test_random_differs_between_calls_in_training_and_not_in_test() -> None:
    layer = MaskAttention(8, mask_mode="random")
    x = torch.randn(2, 8, 6, 6)
    assert not torch.allclose(layer(x), layer(x))
    assert (
        layer.eval().state_dict().keys() == MaskAttention(8, mask_mode="none").state_dict().keys()
    )
    assert torch.equal(layer(x), layer(x))
    assert torch.allclose(layer(x)[:1], layer(x[:1]), atol=1e-6)


def test_the_static_mask_follows_the_size() -> None:
    layer = MaskAttention(8, mask_mode="static", static_size=(4, 4))
    assert {tuple(layer(torch.randn(1, 8, *s)).shape[2:]) for s in [(4, 4), (9, 13)]} == {
        (4, 4),
        (9, 13),
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", MASK_MODES)
def test_half_precision_is_finite(mode: str, dtype: torch.dtype) -> None:
    layer = MaskAttention(16, mask_mode=mode)
    with torch.autocast("cpu", dtype):
        out = layer(1e3 * torch.randn(2, 16, 9, 9))
        out.float().square().mean().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="mask_mode 'soft' is unknown"):
        MaskAttention(8, mask_mode="soft")
    with pytest.raises(ValueError, match="10 channels cannot be shared by 4 heads"):
        MaskAttention(10)
    with pytest.raises(ValueError, match=r"keep_prob must lie in \(0, 1\], got 0"):
        MaskAttention(8, mask_mode="random", keep_prob=0)
    with pytest.raises(ValueError, match="kv_stride must be at least 1, got 0"):
        MaskAttention(8, kv_stride=0)
