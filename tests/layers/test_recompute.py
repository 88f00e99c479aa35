import copy

import torch
from torch import nn

from attnseg.layers import recompute


def test_gradients_and_statistics_are_those_of_the_plain_call():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    again = copy.deepcopy(plain)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    plain(x).square().sum().backward()
    recompute(again, y, owner=again).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    for (name, one), two in zip(plain.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=name)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(plain[1], name), getattr(again[1], name))
    assert again[1].momentum == plain[1].momentum


def test_less_is_kept():
    layer = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(9)))
    x = torch.randn(100, 8, requires_grad=True)
    kept = []
    for run in (layer, lambda x: recompute(layer, x, owner=layer)):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            run(x)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 4


def test_without_gradients_it_is_a_plain_call():
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        assert torch.equal(recompute(layer, torch.ones(1, 3), owner=layer), layer(torch.ones(1, 3)))
