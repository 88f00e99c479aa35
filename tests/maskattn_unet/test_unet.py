import pytest
import torch

from attnseg.layers import MaskAttention
from attnseg.maskattn_unet.presets import PRESETS
from attnseg.maskattn_unet.unet import ATTENTION_PLACES, MaskAttnUNet

SIZES = [(32, 32), (64, 48), (64, 64), (97, 131)]


def attention_count(net: MaskAttnUNet) -> int:
    return sum(isinstance(m, MaskAttention) for m in net.modules())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("in_channels", [1, 3, 5])
def test_any_size_and_channel_count(size: tuple[int, int], in_channels: int) -> None:
    net = MaskAttnUNet(in_channels, preset="small", out_indices=(0, 1, 2, 3, 4)).eval()
    with torch.no_grad():
        maps = net(torch.randn(1, in_channels, *size))
    expected = [(size[0] >> i, size[1] >> i) for i in range(5)]
    assert [tuple(m.shape[2:]) for m in maps] == expected
    assert tuple(m.shape[1] for m in maps) == net.out_channels


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_run_and_give_the_input_size(preset: str) -> None:
    net = MaskAttnUNet(preset=preset).eval()
    with torch.no_grad():
        (out,) = net(torch.randn(1, 3, 32, 48))
    assert out.shape == (1, net.out_channels[0], 32, 48)


@pytest.mark.parametrize(
    ("preset", "place", "count"),
    [
        ("paper", "both", 8),
        ("paper", "encoder", 4),
        ("paper", "decoder", 4),
        ("paper", "none", 0),
        ("code", "both", 6),
    ],
)
def test_attention_stands_where_the_switch_says(preset: str, place: str, count: int) -> None:
    assert attention_count(MaskAttnUNet(preset=preset, attention=place)) == count


def test_the_paper_preset_stays_under_46_million_parameters() -> None:
    assert sum(p.numel() for p in MaskAttnUNet().parameters()) < 46e6


@pytest.mark.parametrize("place", ATTENTION_PLACES)
def test_every_parameter_gets_a_gradient(place: str) -> None:
    torch.manual_seed(0)
    net = MaskAttnUNet(preset="small", attention=place)
    (out,) = net(torch.randn(2, 3, 64, 48))
    (out * torch.randn_like(out)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_the_network_is_flip_equivariant_without_its_static_mask() -> None:
    """Tokens that came back in a wrong layout would break this."""
    net = MaskAttnUNet(preset="small").eval().double()
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            with torch.no_grad():
                module.weight.copy_((module.weight + module.weight.flip(3)) / 2)
    with torch.no_grad():
        assert torch.allclose(net(x.flip(3))[0], net(x)[0].flip(3), atol=1e-8)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="preset 'big' is unknown"):
        MaskAttnUNet(preset="big")
    with pytest.raises(ValueError, match="attention 'all' is unknown"):
        MaskAttnUNet(attention="all")
    with pytest.raises(ValueError, match="channels needs 4 numbers"):
        MaskAttnUNet(channels=(8, 8))
    with pytest.raises(ValueError, match="kv_strides needs 4 numbers"):
        MaskAttnUNet(kv_strides=(8, 4))
    with pytest.raises(ValueError, match=r"out_indices \[7\] name no map"):
        MaskAttnUNet(out_indices=(0, 7))
    with pytest.raises(ValueError, match=r"at least 32x32 pixels, got \(16, 64\)"):
        MaskAttnUNet(preset="small")(torch.zeros(1, 3, 16, 64))


def test_widths_and_strides_can_be_given() -> None:
    net = MaskAttnUNet(
        preset="small",
        channels=(8, 16, 16, 16),
        decoder_channels=(16, 16, 8, 8),
        kv_strides=(8, 4, 2, 2),
    )
    assert net.out_channels == (8,)
    strides = [m.kv_stride for m in net.modules() if isinstance(m, MaskAttention)]
    assert strides == [4, 2, 2, 2, 2, 4]
