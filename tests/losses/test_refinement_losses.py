"""Losses of padded mask batches: formulas, padding, empty and full targets, precision, fitting."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn
from torch.autograd import gradcheck

from attnseg.losses import (
    DistanceBoundaryLoss,
    MaskBCELoss,
    RegionDiceLoss,
    SobelBoundaryLoss,
)
from attnseg.losses.boundary import distance_boundary, sobel_boundary, sobel_magnitude
from attnseg.losses.mask_bce import mask_bce
from attnseg.losses.region_dice import region_dice
from attnseg.registry import MODELS


def integral(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """The boundary loss as its paper has it."""
    return distance_boundary(logits, target, valid, balanced=False)


FITTING = [mask_bce, region_dice, sobel_boundary, distance_boundary]
PURE = [*FITTING, integral]
MODULES = [MaskBCELoss, RegionDiceLoss, SobelBoundaryLoss, DistanceBoundaryLoss]


def case(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return logits, (torch.rand(shape, generator=generator) < 0.4).double()


def disc(height: int, width: int, radius: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2)[None, None].float()


def test_bce_and_dice_by_their_formulas() -> None:
    logits, target = case(2, 1, 7, 5)
    p = logits.sigmoid()
    by_hand = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    torch.testing.assert_close(mask_bce(logits, target), by_hand)

    def dice(p: Tensor, t: Tensor) -> Tensor:
        return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)

    torch.testing.assert_close(region_dice(logits, target), dice(p, target))
    each = torch.stack([dice(p[i], target[i]) for i in range(2)]).mean()
    torch.testing.assert_close(region_dice(logits, target, per_image=True), each)
    assert not torch.isclose(each, dice(p, target))


def test_greatest_gradient_of_a_mask() -> None:
    patterns = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 9).view(-1, 1, 3, 3)
    assert sobel_magnitude(patterns)[..., 1, 1].max().square().item() == pytest.approx(20)


def test_sobel_by_scipy() -> None:
    logits, target = case(2, 1, 6, 9)

    def magnitude(maps: Tensor) -> np.ndarray:
        gx, gy = (
            np.stack([ndimage.sobel(m, axis, mode="constant") for m in maps[:, 0].numpy()])
            for axis in (1, 0)
        )
        return np.sqrt(gx**2 + gy**2 + 1e-8)

    wanted = ((magnitude(logits.sigmoid()) - magnitude(target)) ** 2).mean()
    assert sobel_boundary(logits, target).item() == pytest.approx(wanted, rel=1e-9)
    edge = torch.zeros(1, 1, 5, 6)
    edge[..., 3:] = 1
    row = sobel_magnitude(edge)[0, 0, 2]
    torch.testing.assert_close(row, torch.tensor([1e-4, 1e-4, 4, 4, 1e-4, 4]))


def test_distance_by_scipy() -> None:
    logits, target = case(1, 1, 9, 12)
    own = target[0, 0].numpy() > 0
    p = logits.sigmoid()[0, 0].numpy()
    inside, outside = (ndimage.distance_transform_edt(m) - 0.5 for m in (own, ~own))
    phi = np.where(own, -inside, outside) / math.hypot(9, 12)
    assert integral(logits, target).item() == pytest.approx((p * phi).mean(), abs=1e-6)
    wanted = np.average(p[~own], weights=outside[~own]) - np.average(p[own], weights=inside[own])
    assert distance_boundary(logits, target).item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("loss", [distance_boundary, integral])
def test_distance_is_least_at_the_target(loss) -> None:
    target = disc(20, 25, 6)
    best = loss(100 * (2 * target - 1), target)
    for other in (disc(20, 25, 5), disc(20, 25, 7), torch.zeros_like(target)):
        assert loss(100 * (2 * other - 1), target) > best
    assert best < 0


def test_balanced_distance_does_not_ask_for_an_empty_answer() -> None:
    target = disc(40, 50, 4)
    logits = torch.zeros_like(target).requires_grad_()
    distance_boundary(logits, target).backward()
    assert logits.grad.sum().item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(
        distance_boundary(100 * (2 * target - 1), target), torch.tensor(-1.0)
    )


@pytest.mark.parametrize("loss", PURE)
def test_padding_changes_nothing(loss) -> None:
    images = [case(1, 1, 6, 9, seed=1), case(1, 1, 8, 4, seed=2)]
    logits = torch.full((2, 1, 8, 9), 50.0, dtype=torch.float64)
    target, valid = torch.ones_like(logits), torch.zeros_like(logits, dtype=torch.bool)
    for i, (own, truth) in enumerate(images):
        height, width = own.shape[-2:]
        logits[i, :, :height, :width], target[i, :, :height, :width] = own[0], truth[0]
        valid[i, :, :height, :width] = True
    logits.requires_grad_()
    got = loss(logits, target, valid)
    got.backward()
    assert (logits.grad[~valid] == 0).all() and (logits.grad[valid] != 0).any()
    if loss is distance_boundary:
        wanted = torch.stack([loss(*image) for image in images]).mean()
    elif loss is region_dice:
        flat = [torch.cat([t[i].flatten() for t in images])[None, None, None] for i in (0, 1)]
        wanted = loss(*flat)
        each = torch.stack([loss(*image) for image in images]).mean()
        torch.testing.assert_close(loss(logits, target, valid, per_image=True), each)
    else:
        areas = [own.numel() for own, _ in images]
        wanted = sum(a * loss(*image) for a, image in zip(areas, images, strict=True)) / sum(areas)
    torch.testing.assert_close(got, wanted)
    one = [t[:1, :, :6] for t in (logits, target)]
    torch.testing.assert_close(loss(*one, valid[:1, :, :6]), loss(*images[0]))


@pytest.mark.parametrize("loss", PURE)
def test_gradients(loss) -> None:
    logits, target = case(2, 1, 4, 5)
    valid = torch.ones_like(target, dtype=torch.bool)
    valid[0, :, 3:] = False
    assert gradcheck(lambda x: loss(x, target), logits.requires_grad_())
    assert gradcheck(lambda x: loss(x, target, valid), logits)


def test_empty_and_full_targets() -> None:
    logits, _ = case(1, 1, 6, 8)
    p, empty, full = logits.sigmoid(), torch.zeros_like(logits), torch.ones_like(logits)
    torch.testing.assert_close(region_dice(logits, empty), 1 - 1 / (p.sum() + 1))
    for loss in (distance_boundary, integral):
        torch.testing.assert_close(loss(logits, empty), p.mean())
        torch.testing.assert_close(loss(logits, full), -p.mean())
    torch.testing.assert_close(
        mask_bce(logits, full), F.binary_cross_entropy_with_logits(logits, full)
    )
    for target in (empty, full):
        sure = 200 * target - 100
        for loss, wanted in zip(FITTING, (0, 0, 0, -target.mean().item()), strict=True):
            assert loss(sure, target).item() == pytest.approx(wanted, abs=1e-6)
            assert loss(-sure, target).item() > loss(sure, target).item()


@pytest.mark.parametrize("loss", PURE)
def test_no_valid_pixel_gives_a_connected_zero(loss) -> None:
    logits = torch.randn(1, 1, 3, 4, requires_grad=True)
    value = loss(logits, torch.ones(1, 1, 3, 4), torch.zeros(1, 1, 3, 4, dtype=torch.bool))
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", PURE)
def test_half_precision(loss, dtype: torch.dtype) -> None:
    logits = (60 * torch.randn(1, 1, 300, 301)).to(dtype).requires_grad_()
    target = disc(300, 301, 90)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, target)
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite() and logits.grad.isfinite().all()
    torch.testing.assert_close(value, loss(logits.detach().float(), target))


@pytest.mark.parametrize("module", MODULES)
def test_modules_weigh_and_name(module: type[nn.Module]) -> None:
    logits, target = case(1, 1, 5, 6)
    build = {"type": f"attnseg.{module.__name__}"}
    one, half = MODELS.build(build), MODELS.build({**build, "loss_weight": 0.5, "loss_name": "a"})
    torch.testing.assert_close(one(logits, target), 2 * half(logits, target, None))
    assert one.loss_name.startswith("loss_") and half.loss_name == "a"
    assert not one.state_dict()


@pytest.mark.parametrize("loss", PURE)
def test_shapes_are_checked(loss) -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\)"):
        loss(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match=r"\(1, 1, 3, 4\)"):
        loss(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 4))


@pytest.mark.parametrize("loss", FITTING)
def test_each_alone_fits_one_image(loss) -> None:
    torch.manual_seed(0)
    target = disc(32, 41, 9)
    net = nn.Sequential(
        nn.Conv2d(3, 24, 1), nn.Tanh(), nn.Conv2d(24, 24, 1), nn.Tanh(), nn.Conv2d(24, 1, 1)
    )
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 41), indexing="ij")
    places = torch.stack([y, x, y**2 + x**2])[None]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    values = []
    for _ in range(250):
        optimizer.zero_grad()
        value = loss(net(places), target)
        value.backward()
        optimizer.step()
        values.append(value.item())
    predicted = net(places) > 0
    both, either = (predicted & (target > 0)).sum(), (predicted | (target > 0)).sum()
    assert values[-1] < values[0] and both / either > 0.9
