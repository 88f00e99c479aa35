import pytest
import torch
from torch import nn

from attnseg.layers import MultiHeadAttention


def reference(layer: MultiHeadAttention) -> nn.MultiheadAttention:
    """torch's own layer with the same weights."""
    channels = layer.proj.in_features
    other = nn.MultiheadAttention(channels, layer.num_heads, batch_first=True)
    with torch.no_grad():
        parts = (layer.query, layer.key, layer.value)
        other.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        zeros = torch.zeros(channels)
        biases = [zeros if p.bias is None else p.bias for p in parts]
        # The bias of the keys must not matter.
        biases[1] = torch.randn(channels)
        other.in_proj_bias.copy_(torch.cat(biases))
        other.out_proj.load_state_dict(layer.proj.state_dict())
    return other


@pytest.mark.parametrize("heads", [1, 4])
def test_output_and_weights_are_those_of_torch(heads):
    torch.manual_seed(0)
    layer = MultiHeadAttention(16, heads)
    for bias in (layer.query.bias, layer.value.bias, layer.proj.bias):
        nn.init.normal_(bias)
    q, k, v = torch.randn(2, 5, 16), torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    expected, weights = reference(layer)(q, k, v)
    torch.testing.assert_close(layer(q, k, v), expected)
    torch.testing.assert_close(layer.weights(q, k), weights)


def test_gradcheck():
    torch.manual_seed(0)
    layer = MultiHeadAttention(4, 2).double()
    q = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    k = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, k: layer(q, k, k), (q, k))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_large_activations_stay_finite_in_half_precision(dtype):
    torch.manual_seed(0)
    layer = MultiHeadAttention(16, 2)
    x = 100 * torch.randn(1, 9, 16)
    with torch.autocast("cpu", dtype=dtype):
        assert layer(x, x, x).isfinite().all()


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="10 channels cannot be shared by 4 heads"):
        MultiHeadAttention(10, 4)
