import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnseg.engine.complexity import count, latencies, latency
from attnseg.layers import MaskAttention


class Attention(nn.Module):
    """Softmax attention of one tensor with itself, without parameters."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(x, x, x)


class SelfAttention(nn.MultiheadAttention):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x, x, x, need_weights=False)[0]


def test_convolution() -> None:
    model = nn.Conv2d(3, 8, 3, padding=1)
    result = count(model, torch.rand(1, 3, 10, 12))
    assert result.params == 3 * 8 * 9 + 8
    assert result.macs == 3 * 8 * 9 * 10 * 12


def test_grouped_and_strided_convolution() -> None:
    model = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4)
    assert count(model, torch.rand(1, 4, 16, 16)).macs == 8 * 9 * 8 * 8


def test_linear() -> None:
    assert count(nn.Linear(5, 7), torch.rand(2, 11, 5)).macs == 2 * 11 * 5 * 7


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(5, 5)
    result = count(nn.Sequential(layer, layer), torch.rand(1, 5))
    assert (result.params, result.macs) == (30, 50)


@pytest.mark.parametrize("shape", [(6, 40, 16), (2, 3, 40, 16)], ids=["3-D", "4-D"])
def test_fused_attention(shape: tuple[int, ...]) -> None:
    result = count(Attention(), torch.rand(shape))
    assert result.macs == 2 * 6 * 40 * 40 * 16
    with sdpa_kernel(SDPBackend.MATH):
        assert count(Attention(), torch.rand(shape)) == result


def test_multihead_attention_in_eval_mode() -> None:
    model = SelfAttention(16, 4, batch_first=True).eval()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    result = count(model, torch.rand(2, 40, 16))
    assert result.macs == 2 * (4 * 40 * 16 * 16 + 2 * 40 * 40 * 16)
    assert torch.backends.mha.get_fastpath_enabled() == fast_path


def test_mask_attention() -> None:
    channels, heads, tokens, keys = 32, 4, 16 * 16, 8 * 8
    model = MaskAttention(channels, num_heads=heads, kv_stride=2)
    # The key bias takes one more channel; fused kernels want a multiple of 8.
    width = channels // heads + 8
    expected = (
        2 * tokens * channels * channels  # queries, output projection
        + keys * channels * 2 * channels  # keys, values
        + keys * channels * heads  # mask
        + 2 * heads * tokens * keys * width  # attention
        + 2 * tokens * channels * 2 * channels  # FFN
    )
    assert count(model, torch.rand(1, channels, 16, 16)).macs == expected


def test_a_function_chooses_what_runs() -> None:
    model = nn.ModuleDict({"used": nn.Linear(4, 4), "idle": nn.Linear(4, 4)})
    result = count(model, lambda m: m["used"](torch.rand(1, 4)))
    assert (result.params, result.macs) == (40, 16)


def test_mode_and_gradients_are_restored() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    model[1].eval()
    seen = []
    count(model, lambda m: seen.append((m.training, m(torch.rand(1, 2)).requires_grad)))
    assert seen == [(False, False)]
    assert [m.training for m in model] == [True, False]


def test_latency_times_each_pass() -> None:
    calls = []
    result = latency(nn.Linear(2, 2), lambda m: calls.append(m.training), repeats=5, warmup=2)
    assert calls == [False] * 7
    assert 0 < result.p50 <= result.p95


def test_latencies_take_turns() -> None:
    order = []
    models = {n: (nn.Identity(), lambda m, n=n: order.append(n)) for n in "ab"}
    assert set(latencies(models, repeats=2, warmup=1)) == {"a", "b"}
    assert order == list("ababab")


def test_latency_without_a_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats must be at least 1"):
        latency(nn.Identity(), torch.rand(1), repeats=0)


def test_a_parameter_handed_to_another_module_is_counted_and_stays_trainable():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start = nn.Parameter(torch.zeros(1, 3, 4))
            self.layer = nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.start)

    model = Outer()
    assert count(model, torch.zeros(1)).macs == 3 * 4 * 5
    assert all(p.requires_grad for p in model.parameters())
