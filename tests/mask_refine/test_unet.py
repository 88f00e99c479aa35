"""The U-Net of mask refinement: sizes, flags, gradients, precision, bad settings."""

import pytest
import torch

from attnseg.mask_refine import RefineUNet

FLAGS = [
    {},
    {"coarse_residual": True},
    {"attention_gates": True, "widths": (32, 64)},
    {"skips": False},
]


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 40), (33, 18)])
def test_any_size(flags: dict, size: tuple[int, int]) -> None:
    network = RefineUNet(**flags)
    logits = network(torch.rand(2, 3, *size))
    assert logits.shape == (2, 1, *size) and logits.isfinite().all()
    logits.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_every_parameter_has_a_gradient(flags: dict) -> None:
    torch.manual_seed(0)
    network = RefineUNet(**flags).double()
    network(torch.rand(2, 3, 21, 26).double()).square().mean().backward()
    for name, parameter in network.named_parameters():
        # The norm behind it takes out the bias of the gate's last convolution.
        small = parameter.grad.abs().max() < 1e-12
        assert small == name.endswith("psi.bias"), name


@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_half_precision_is_finite(flags: dict) -> None:
    network = RefineUNet(**flags)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(torch.rand(1, 3, 20, 31)).isfinite().all()
    x = torch.rand(1, 3, 20, 31).half()
    assert network.half()(x).isfinite().all()


def test_residual_adds_the_first_channel() -> None:
    torch.manual_seed(0)
    plain, residual = RefineUNet(), RefineUNet(coarse_residual=True)
    residual.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 9, 14)
    torch.testing.assert_close(residual(x), plain(x) + x[:, :1])


def test_images_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    network, x = RefineUNet(attention_gates=True), torch.rand(3, 3, 19, 24)
    alone = torch.cat([network(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(x), alone, atol=1e-5, rtol=1e-5)


def test_gates_and_skips_matter() -> None:
    torch.manual_seed(0)
    network, x = RefineUNet(attention_gates=True), torch.rand(1, 3, 16, 16)
    before = network(x)
    with torch.no_grad():
        for gate in network.gates:
            gate.norm.weight.zero_()
            gate.norm.bias.fill_(50.0)
    # Open gates leave the plain net.
    plain = RefineUNet()
    plain.load_state_dict(
        {k: v for k, v in network.state_dict().items() if not k.startswith("gates.")}
    )
    torch.testing.assert_close(network(x), plain(x), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before, plain(x), atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": (12, 24)}, "num_groups=8"),
        ({"widths": (0, 8)}, "widths"),
        ({"in_channels": 0}, "input channel"),
        ({"widths": (8, 16), "attention_gates": True}, "16 divides"),
        ({"skips": False, "attention_gates": True}, "skips=True"),
    ],
)
def test_bad_settings(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RefineUNet(**settings)
