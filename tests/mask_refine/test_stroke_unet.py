"""The network of ``refine_best``."""

import pytest
import torch

from attnseg.mask_refine.stroke_unet import StrokeUNet

SMALL = {"in_channels": 7, "widths": (8, 16, 32), "num_heads": 2}


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (33, 47), (64, 32)])
def test_any_size(size):
    logits = StrokeUNet(**SMALL).eval()(torch.randn(2, 7, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.isfinite().all()


def test_every_parameter_learns():
    torch.manual_seed(0)
    network = StrokeUNet(**SMALL, silent_channels=2)
    network(torch.randn(2, 7, 24, 40)).square().mean().backward()
    lost = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not lost


def test_silent_channels_are_ignored_until_they_are_trained():
    torch.manual_seed(0)
    network = StrokeUNet(**SMALL, silent_channels=2).eval()
    x = torch.randn(1, 7, 24, 24)
    painted = x.clone()
    painted[:, 5:] = 1
    assert torch.equal(network(x), network(painted))
    changed = x.clone()
    changed[:, 4] += 1
    assert not torch.equal(network(x), network(changed))
    weight = network.encoder[0].body[0].weight
    network(painted).sum().backward()
    assert weight.grad[:, 5:].abs().sum() > 0


def test_training_type_leaves_the_answers_alone():
    torch.manual_seed(0)
    network = StrokeUNet(**SMALL, training_dtype="bfloat16")
    x = torch.randn(2, 7, 32, 32)
    exact = StrokeUNet(**SMALL)
    exact.load_state_dict(network.state_dict())
    logits = network(x)
    assert logits.dtype == torch.float32 and logits.isfinite().all()
    assert not torch.equal(logits, exact(x))
    torch.testing.assert_close(logits, exact(x), atol=0.1, rtol=0.1)
    exact.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(x), exact.eval()(x))


def test_the_residual_is_the_answer_at_first():
    torch.manual_seed(0)
    network = StrokeUNet(**SMALL, residual_channel=1).eval()
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    x = torch.randn(1, 7, 24, 24)
    torch.testing.assert_close(network(x), 4 * x[:, 1:2])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="two widths"):
        StrokeUNet(3, widths=(16,))
    with pytest.raises(ValueError, match="silent_channels must be from 0 to 2"):
        StrokeUNet(3, silent_channels=3)
    with pytest.raises(ValueError, match="'bfloat16', 'float16' or None, got 'half'"):
        StrokeUNet(3, training_dtype="half")
    with pytest.raises(ValueError, match="residual_channel must be from 0 to 2"):
        StrokeUNet(3, residual_channel=3)
