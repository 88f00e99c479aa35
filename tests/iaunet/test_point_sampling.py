"""Values at points against grid_sample, mmcv and interpolate; choice of points against mmdet."""

import functools

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from torch import Tensor
from torch.autograd import gradcheck

from attnseg.iaunet.point_sampling import sample_logits, sample_masks, uncertain_points

SIZES = [(7, 12), (1, 5), (16, 16)]
at_border = functools.partial(point_sample, padding_mode="border")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def centres(h: int, w: int) -> Tensor:
    y, x = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2)


@pytest.mark.parametrize("size", SIZES)
def test_logits_are_those_of_mmcv(size: tuple[int, int]) -> None:
    maps, points = torch.randn(3, *size), torch.rand(3, 50, 2)
    own = at_border(maps[:, None], points)[:, 0]
    shared = at_border(maps[None], points[:1])[0]
    torch.testing.assert_close(sample_logits(maps, points), own)
    torch.testing.assert_close(sample_logits(maps, points[0]), shared)


def test_points_inside_the_outer_centres_need_no_border() -> None:
    maps = torch.randn(3, 7, 12)
    points = 0.1 + 0.8 * torch.rand(3, 50, 2)
    wanted = point_sample(maps[:, None], points)[:, 0]
    torch.testing.assert_close(sample_logits(maps, points), wanted)


def test_batches_of_maps() -> None:
    maps = torch.randn(2, 3, 5, 7)
    everywhere, by_image, own = torch.rand(9, 2), torch.rand(2, 9, 2), torch.rand(2, 3, 9, 2)
    for i in range(2):
        for points, mine in ((everywhere, everywhere), (by_image, by_image[i]), (own, own[i])):
            torch.testing.assert_close(sample_logits(maps, points)[i], sample_logits(maps[i], mine))


@pytest.mark.parametrize("scale", [1, 3])
def test_pixel_centres_of_an_enlarged_map_are_its_interpolation(scale: int) -> None:
    maps = torch.randn(2, 5, 8)
    size = (5 * scale, 8 * scale)
    wanted = F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(sample_logits(maps, centres(*size)), wanted.flatten(1))


def test_axes_are_x_and_then_y() -> None:
    maps = torch.zeros(1, 4, 8)
    maps[0, 1, 6] = 1
    assert sample_logits(maps, torch.tensor([[6.5 / 8, 1.5 / 4]])).item() == 1


def test_gradients_of_sampled_logits() -> None:
    maps = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    points = torch.rand(2, 6, 2, dtype=torch.float64)
    assert gradcheck(sample_logits, (maps, points))
    assert gradcheck(sample_logits, (maps, points[0]))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
@pytest.mark.parametrize("size", SIZES)
def test_masks_are_those_of_mmcv_on_floats(size: tuple[int, int], dtype: torch.dtype) -> None:
    masks = (torch.rand(4, *size) > 0.5).to(dtype)
    corners = torch.tensor([[0.0, 0], [1, 1], [0, 1], [1, 0]]).expand(4, -1, -1)
    points = torch.cat([torch.rand(4, 60, 2), corners], dim=1)
    own = at_border(masks.float()[:, None], points)[:, 0]
    shared = at_border(masks.float()[None], points[:1])[0]
    torch.testing.assert_close(sample_masks(masks, points), own, atol=1e-6, rtol=0)
    torch.testing.assert_close(sample_masks(masks, points[0]), shared, atol=1e-6, rtol=0)


def test_masks_at_pixel_centres_are_themselves() -> None:
    masks = torch.rand(3, 6, 11) > 0.5
    values = sample_masks(masks, centres(6, 11).double())
    torch.testing.assert_close(values, masks.flatten(1).double(), atol=1e-5, rtol=0)


def test_masks_are_never_made_floating_point() -> None:
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)

    class NoLargeFloats(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor) and out.is_floating_point():
                assert out.numel() < masks.numel(), func
            return out

    with NoLargeFloats():
        assert sample_masks(masks, torch.rand(3, 20, 2)).shape == (3, 20)


@pytest.mark.parametrize("importance", [0.0, 0.75, 1.0])
def test_uncertain_points_are_those_of_mmdet(
    importance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmdet.models.utils.point_sample.point_sample", at_border)
    logits = torch.randn(3, 9, 6)
    torch.manual_seed(5)
    wanted = get_uncertain_point_coords_with_randomness(logits[:, None], None, 40, 3.0, importance)
    torch.manual_seed(5)
    got = uncertain_points(logits, 40, 3.0, importance)
    kept = int(importance * 40)
    for mine, theirs in zip(got[:, :kept].tolist(), wanted[:, :kept].tolist(), strict=True):
        assert sorted(mine) == sorted(theirs)
    assert torch.equal(got[:, kept:], wanted[:, kept:])


def test_uncertain_points_follow_the_edge_of_each_mask() -> None:
    # Logits that cross zero at x = 1/4 in the first mask and at y = 3/4 in the second.
    ramp = torch.linspace(-1, 1, 65)
    logits = torch.stack([(ramp + 0.5).expand(65, 65), (ramp - 0.5)[:, None].expand(65, 65)])
    points = uncertain_points(logits, 200, oversample=10, importance=1.0)
    assert (points[0, :, 0] - 0.25).abs().max() < 0.12
    assert (points[1, :, 1] - 0.75).abs().max() < 0.12
    assert points[0, :, 1].max() > 0.9
    assert points[0, :, 1].min() < 0.1


def test_points_repeat_under_a_seed_and_need_no_masks() -> None:
    logits = torch.randn(2, 5, 5)
    torch.manual_seed(1)
    first = uncertain_points(logits, 30)
    torch.manual_seed(1)
    assert torch.equal(uncertain_points(logits, 30), first)
    assert not torch.equal(uncertain_points(logits, 30), first)
    assert uncertain_points(logits[:0], 30).shape == (0, 30, 2)


def test_shapes_are_checked() -> None:
    maps, masks = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.bool)
    for points in (torch.zeros(2, 5, 2), torch.zeros(5, 3), torch.zeros(1, 3, 5, 2)):
        with pytest.raises(ValueError, match="do not fit maps"):
            sample_logits(maps, points)
        with pytest.raises(ValueError, match="sample_masks expects"):
            sample_masks(masks, points)
    with pytest.raises(ValueError, match="do not fit maps"):
        sample_logits(torch.zeros(2, 3, 4, 4), torch.zeros(3, 5, 2))
