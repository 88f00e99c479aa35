import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.solov2_head import MaskFeatModule
from torch import Tensor, nn

from attnseg.cspam_solov2 import CSMF
from attnseg.engine.complexity import count

GN = {"type": "GN", "num_groups": 4}


def features(end: int = 3, start: int = 0, **arguments: object) -> CSMF:
    torch.manual_seed(0)
    model = CSMF(8, 12, start, end, 16, norm_cfg=GN, **arguments)
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    return model


def levels(
    size: tuple[int, int] = (32, 48), count: int = 5, dtype: torch.dtype | None = None
) -> list:
    """Maps of a neck, and last P of level 3."""
    out, (h, w) = [], size
    for _ in range(count):
        out.append(torch.randn(2, 8, h, w, dtype=dtype))
        h, w = -(-h // 2), -(-w // 2)
    return [*out, torch.randn_like(out[3])]


def up(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def test_it_is_figure_4() -> None:
    """Literally: P5 is upsampled 8 times and convolved then, where the module convolves first."""
    model = features().double()
    n2, n3, n4, _, _, p5 = inputs = levels(dtype=torch.float64)
    raised = up(p5, 2)
    h, w = raised.shape[2:]
    x = ((torch.arange(w, dtype=torch.float64) + 0.5) / w * 2 - 1).expand(2, 1, h, w)
    y = ((torch.arange(h, dtype=torch.float64) + 0.5) / h * 2 - 1)[:, None].expand(2, 1, h, w)
    deep = model.merge(torch.cat([raised, x, y, n4], 1))
    deep = up(model.deep[1](up(model.deep[0](deep), 2)), 2)
    middle = up(model.branches[0][0](n3), 2)
    shallow = model.shallow(n2 + model.guide(up(p5, 8)))
    expected = model.pred(shallow + middle + deep)
    assert expected.any() and torch.allclose(model(inputs), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 48), (43, 75), (5, 17), (8, 8)])
@pytest.mark.parametrize(("start", "end"), [(0, 3), (0, 2), (1, 3), (0, 4)])
def test_any_levels_of_any_size_give_the_size_of_the_first(
    size: tuple[int, int], start: int, end: int
) -> None:
    inputs = levels(size)
    inputs[-1] = torch.randn_like(inputs[end])
    out = features(end, start)(inputs)
    assert out.shape == (2, 16, *inputs[start].shape[2:])
    assert out.isfinite().all()


def test_the_map_at_the_end_level_is_used_only_as_the_top() -> None:
    inputs = levels()
    out = features()(inputs)
    changed = [*inputs[:3], torch.full_like(inputs[3], torch.nan), *inputs[4:]]
    assert torch.equal(features()(changed), out)
    plain = features(top_index=3)([*inputs[:3], inputs[-1], inputs[4]])
    assert torch.equal(plain, out)
    for i in (0, 1, 2, 5):
        other = [2 * x if j == i else x for j, x in enumerate(inputs)]
        assert not torch.allclose(features()(other), out)


def test_it_takes_the_arguments_of_solov2s_branch_and_is_cheaper() -> None:
    arguments = {
        "in_channels": 256,
        "feat_channels": 128,
        "start_level": 0,
        "end_level": 3,
        "out_channels": 256,
        "mask_stride": 4,
        "conv_cfg": None,
        "norm_cfg": {"type": "GN", "num_groups": 32},
        "init_cfg": [{"type": "Normal", "layer": "Conv2d", "std": 0.01}],
    }
    with torch.device("meta"):
        ours, theirs = CSMF(**arguments), MaskFeatModule(**arguments)
        # The paper's 1200x680, padded to a multiple of 32: mmdet's branch needs it.
        inputs = [torch.empty(1, 256, 704 // s, 1216 // s) for s in (4, 8, 16, 32)]
    inputs.append(inputs[3])
    here, there = (count(m, lambda model: model(inputs)) for m in (ours, theirs))
    assert here.macs < 0.9 * there.macs and here.params < there.params
    assert ours(inputs).shape == theirs(inputs).shape
    assert (ours.mask_stride, ours.out_channels) == (4, 256)


def test_it_starts_as_solov2s_branch_does() -> None:
    model = CSMF(64, 64, 0, 3, 64, norm_cfg={"type": "GN", "num_groups": 32})
    model.init_weights()
    spreads = [m.weight.std().item() for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert spreads == pytest.approx(7 * [0.01], rel=0.05)


def test_every_parameter_learns_and_half_precision_is_finite() -> None:
    model = features()
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        model.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            out = model([200 * x for x in levels((21, 35))])
        assert out.isfinite().all()
        (out.float() * torch.randn_like(out.float())).mean().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="end_level 1 must be at least start_level 0 \\+ 2"):
        CSMF(8, 8, 0, 1, 8)
    with pytest.raises(ValueError, match="end_level 3 must be at least start_level -1"):
        CSMF(8, 8, -1, 3, 8)
    with pytest.raises(ValueError, match="CSMF got 2 maps, too few for end_level 3 and top_index"):
        features()(levels()[:2])
    with pytest.raises(ValueError, match="CSMF got 5 maps, too few .* top_index 5"):
        features(top_index=5)(levels()[:5])
    # A neck without `with_top` that ends before P5: N4 is no P5, N5 neither.
    with pytest.raises(ValueError, match="CSMF got 3 maps, too few for end_level 3 and top_index"):
        features()(levels()[:3])
    with pytest.raises(ValueError, match="top_index -1 is map 3 of 4.* top_index=3 for a plain"):
        features()(levels()[:4])
    assert features(top_index=3)(levels()[:4]).isfinite().all()
    for index in (2, 0, -4, -3):
        with pytest.raises(ValueError, match=f"top_index {index} is map .*, below end_level 3"):
            features(top_index=index)(levels()[:5])
    # A neck without `with_top`, whose last map is an extra level.
    with pytest.raises(ValueError, match=r"top_index -1 is 2x3, but level 3 is 4x6: .* with_top"):
        features()(levels()[:5])
