from functools import partial

import pytest
import torch
import torch.nn.functional as F
from mmdet.models import FPN, PAFPN
from torch import Tensor

from attnseg.cspam_solov2 import TWFPN
from attnseg.errors import InputError

CHANNELS = [4, 6, 8, 10]


def maps(size: tuple[int, int] = (21, 35), channels: list[int] = CHANNELS) -> list[Tensor]:
    """Maps of a backbone; each side is half of the one before, rounded up."""
    out, (h, w) = [], size
    for c in channels:
        out.append(torch.randn(2, c, h, w))
        h, w = -(-h // 2), -(-w // 2)
    return out


def neck(num_outs: int = 5, channels: list[int] = CHANNELS, **arguments: object) -> TWFPN:
    torch.manual_seed(0)
    model = TWFPN(channels, 8, num_outs, **arguments)
    model.init_weights()
    return model


def same(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return len(a) == len(b) and all(map(partial(torch.allclose, atol=1e-5), a, b))


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("size", [(64, 96), (21, 35), (3, 40)])
def test_the_bottom_up_path_is_panets(levels: int, size: tuple[int, int]) -> None:
    channels = [4, 6, 8, 10, 12, 14][:levels]
    model, inputs = neck(levels, channels, with_top=True), maps(size, channels)
    plain = FPN(channels, 8, levels)
    plain.load_state_dict(model.state_dict(), strict=False)
    tops = plain(inputs)
    expected = [tops[0]]
    for i in range(1, levels):
        down, conv = model.downsample_convs[i - 1].conv, model.pafpn_convs[i - 1].conv
        below = F.conv2d(expected[-1], down.weight, down.bias, stride=2, padding=1)
        expected.append(F.conv2d(below + tops[i], conv.weight, conv.bias, padding=1))
    assert same(model(inputs), (*expected, tops[-1]))


def test_with_two_levels_it_is_pafpn_and_takes_its_weights() -> None:
    ours, theirs = neck(3, [4, 6]), PAFPN([4, 6], 8, 3)
    ours.load_state_dict(theirs.state_dict())
    inputs = maps(channels=[4, 6])
    assert same(ours(inputs), theirs(inputs))


EXTRA = [
    {},
    {"add_extra_convs": True},
    {"add_extra_convs": "on_input"},
    {"add_extra_convs": "on_lateral"},
    {"add_extra_convs": "on_output"},
    {"add_extra_convs": "on_output", "relu_before_extra_convs": True},
]


@pytest.mark.parametrize("extra", EXTRA)
@pytest.mark.parametrize("start", [0, 1])
def test_extra_levels_are_those_of_fpn(extra: dict, start: int) -> None:
    """With a bottom-up path that passes P on, the whole neck is FPN."""
    torch.manual_seed(0)
    arguments = {"start_level": start, **extra}
    model = neck(6, **arguments)
    for down, conv in zip(model.downsample_convs, model.pafpn_convs, strict=True):
        torch.nn.init.zeros_(down.conv.weight)
        torch.nn.init.dirac_(conv.conv.weight)
    plain = FPN(CHANNELS, 8, 6, **arguments)
    plain.load_state_dict(model.state_dict(), strict=False)
    inputs = maps()
    assert same(model(inputs), plain(inputs))


@pytest.mark.parametrize("extra", EXTRA[:1] + EXTRA[4:])
def test_extra_levels_come_from_the_bottom_up_path(extra: dict) -> None:
    model, inputs = neck(5, **extra), maps()
    before = model(inputs)[4]
    torch.nn.init.zeros_(model.pafpn_convs[-1].conv.weight)
    assert not torch.allclose(model(inputs)[4], before)


def test_a_part_of_the_levels_and_the_other_arguments_of_fpn() -> None:
    norm = {"type": "GN", "num_groups": 2}
    model = neck(2, start_level=1, end_level=2, with_top=True, norm_cfg=norm)
    inputs = maps()
    outs = model(inputs)
    assert [o.shape[2:] for o in outs] == [inputs[i].shape[2:] for i in (1, 2, 2)]
    upsample = {"mode": "bilinear", "align_corners": False}
    smooth = neck(4, act_cfg={"type": "ReLU"}, no_norm_on_lateral=True, upsample_cfg=upsample)
    assert min(o.min() for o in smooth(inputs)) >= 0
    # A fixed factor asks for sides that halve exactly.
    doubled = neck(4, upsample_cfg={"mode": "nearest", "scale_factor": 2})
    even = maps((16, 24))
    assert same(doubled(even), neck(4)(even))


def test_maps_of_dilated_backbones_and_of_those_that_round_down_fit() -> None:
    sizes = [(21, 35), (10, 17), (10, 17), (5, 8)]
    inputs = [torch.randn(1, c, *s) for c, s in zip(CHANNELS, sizes, strict=True)]
    outs = neck(4)(inputs)
    assert [tuple(o.shape[2:]) for o in outs] == sizes


def test_every_parameter_learns_and_half_precision_is_finite() -> None:
    model = neck(6, add_extra_convs="on_input", with_top=True)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        model.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            outs = model([200 * x for x in maps()])
        assert all(o.isfinite().all() for o in outs)
        sum((o.float() * torch.randn_like(o.float())).mean() for o in outs).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="num_outs 3 is below the 4 levels that come from"):
        neck(3)
    with pytest.raises(ValueError, match="TWFPN got 3 maps for in_channels of 4"):
        neck()(maps()[:3])
    with pytest.raises(InputError, match="in_channels is .* the backbone's maps have"):
        neck()(maps()[::-1])
