"""The head of CSPAM-SOLOv2 beside mmdet's SOLOv2 head with the same weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import PolygonMasks
from mmengine.structures import InstanceData
from torch import Tensor, nn

from attnseg.cspam_solov2 import CSMF, TWFPN
from attnseg.errors import InputError
from tests.cspam_solov2 import scenes

SIZE = (64, 96)


class LastMapFeatures(nn.Module):
    """Mask features that need a map beyond the levels."""

    mask_stride = 4

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: tuple[Tensor, ...]) -> Tensor:
        assert len(x) == 4
        return self.conv(x[0] + x[-1].mean())


def losses(head: nn.Module, maps: tuple, truths: list[InstanceData]) -> dict[str, Tensor]:
    return head.loss(maps, [scenes.sample(truth, SIZE) for truth in truths])


def raw(head: nn.Module, dtype: torch.dtype, size: tuple[int, int]) -> tuple:
    """Leaves in place of what the head's forward gives."""
    torch.manual_seed(3)
    grids = [(2, 8, grid, grid) for grid in head.num_grids]
    kernels = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in grids]
    classes = [torch.randn(2, 3, *shape[2:], dtype=dtype).requires_grad_() for shape in grids]
    feats = torch.randn(2, 8, size[0] // 4, size[1] // 4, dtype=dtype).requires_grad_()
    return kernels, classes, feats


def compare_losses(
    truths: list[InstanceData], size: tuple[int, int], dtype: torch.dtype, **loss: object
) -> None:
    ours = scenes.ours(loss={**scenes.SOLO_LOSS, **loss})
    outputs = raw(ours, dtype, size)
    leaves = [*outputs[0], *outputs[1], outputs[2]]
    metas = [{"img_path": "x"}] * len(truths)
    values, grads = [], []
    for head in (ours, scenes.theirs()):
        found = head.loss_by_feat(*outputs, truths, metas)
        values.append(torch.stack([found["loss_mask"], found["loss_cls"]]))
        total = values[-1] @ torch.tensor([1, 0.7], dtype=dtype)
        grads.append(torch.autograd.grad(total, leaves, allow_unused=True))
    # mmdet sums targets in float32, also beside predictions in float64.
    rtol = 1e-6 if dtype == torch.float32 else 1e-7
    # And it adds an epsilon of float32 to the positives that divide the class loss.
    positives = sum(
        int(flags.sum())
        for truth in truths
        for flags in scenes.theirs()._get_targets_single(truth, outputs[2].shape[-2:])[2]
    )
    shift = torch.finfo(torch.float32).eps / (positives + 1)
    values[1] = values[1] * torch.tensor([1, 1 + shift], dtype=dtype)
    torch.testing.assert_close(*values, rtol=rtol, atol=0)
    for a, b in zip(*grads, strict=True):
        b = torch.zeros_like(a) if b is None else b
        bound = float(b.abs().max()) * (1e-6 if dtype == torch.float32 else 2e-7)
        torch.testing.assert_close(a, b, rtol=rtol, atol=bound)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    counts=st.tuples(st.integers(0, 10), st.integers(0, 10)),
    size=st.sampled_from([(64, 64), (64, 96), (96, 32)]),
)
def test_without_its_parts_the_loss_is_mmdets(
    seed: int, counts: tuple[int, int], size: tuple[int, int]
) -> None:
    truths = [scenes.truth(size, count, seed + i) for i, count in enumerate(counts)]
    compare_losses(truths, size, torch.float64)


def test_single_precision_and_collisions() -> None:
    # Three objects of three classes on one place, twice.
    truths = [scenes.rectangles(SIZE, [(20, 20, 40, 44)] * 3 + [(50, 8, 60, 30)]) for _ in "ab"]
    compare_losses(truths, SIZE, torch.float32)
    compare_losses(truths, SIZE, torch.float64)


def test_the_minimum_is_mmdets_where_cells_have_one_candidate() -> None:
    truths = [
        scenes.rectangles(SIZE, [(2, 2, 18, 16), (60, 30, 90, 60)]),
        scenes.rectangles(SIZE, [(40, 2, 44, 6)]),
    ]
    compare_losses(truths, SIZE, torch.float64, minimum=True)


def test_mmdets_weights_load_and_give_the_same_maps_and_losses() -> None:
    theirs, ours = scenes.theirs(), scenes.ours(loss=scenes.SOLO_LOSS)
    theirs.init_weights()
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    maps = scenes.maps((96, 64))
    for a, b in zip(ours(maps), theirs(maps), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    truths = [scenes.truth(SIZE, 5, 1), scenes.truth(SIZE, 4, 2)]
    maps = scenes.maps(SIZE)
    found, expected = (losses(head, maps, truths) for head in (ours, theirs))
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=0)


def test_initial_weights_are_drawn_as_in_mmdet() -> None:
    ours, theirs = scenes.ours(), scenes.theirs()
    for head in (ours, theirs):
        torch.manual_seed(5)
        head.init_weights()
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    assert ours.conv_cls.bias.mean().item() == pytest.approx(-4.595, abs=1e-3)


def test_longer_tuples_feed_the_mask_features() -> None:
    head = scenes.ours(mask_feature_head={"type": LastMapFeatures, "out_channels": 8})
    maps = scenes.maps(SIZE, count=4)
    kernels, classes, feats = head(maps)
    assert [tuple(k.shape) for k in kernels] == [(2, 8, g, g) for g in (7, 5, 3)]
    assert [tuple(c.shape) for c in classes] == [(2, 3, g, g) for g in (7, 5, 3)]
    assert feats.shape == (2, 8, 16, 24)
    changed = head((*maps[:3], maps[3] + 1))
    assert not torch.equal(changed[2], feats)
    assert all(torch.equal(a, b) for a, b in zip(changed[0], kernels, strict=True))


CSMF_CFG = {
    "type": "attnseg.CSMF",
    "feat_channels": 8,
    "start_level": 0,
    "end_level": 2,
    "out_channels": 8,
}


def test_whole_model_below_the_backbone_trains() -> None:
    neck = TWFPN([8, 8, 8], 8, num_outs=3, with_top=True)
    head = scenes.ours(mask_feature_head=CSMF_CFG)
    assert isinstance(head.mask_feature_head, CSMF)
    truths = [scenes.truth(SIZE, 6, 1), scenes.truth(SIZE, 6, 2)]
    found = losses(head, neck(scenes.maps(SIZE)), truths)
    sum(found.values()).backward()
    for name, parameter in [*neck.named_parameters(), *head.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.any(), name


def empty() -> InstanceData:
    return scenes.rectangles(SIZE, [])


CASES = {
    "no objects": [empty(), empty()],
    "one image without": [empty(), scenes.truth(SIZE, 4)],
    "smaller than a cell": [scenes.rectangles(SIZE, [(9, 9, 10, 10)]), empty()],
    # The middle of a square of four pixels is not in them.
    "lost at a quarter": [scenes.rectangles(SIZE, [(8, 8, 9, 40), (12, 8, 40, 9)]), empty()],
    "100 in one cell": [scenes.rectangles(SIZE, [(30, 30, 50, 50)] * 100), empty()],
    "no levels": [scenes.rectangles(SIZE, [(0, 0, 0, 0)]), empty()],
}


@pytest.mark.parametrize("loss", [{}, scenes.SOLO_LOSS], ids=["minimum", "solo"])
@pytest.mark.parametrize("case", CASES)
def test_every_parameter_learns_something_finite(case: str, loss: dict) -> None:
    head = scenes.ours(loss={"type": "attnseg.AdaptiveMinimumLoss", **loss})
    found = losses(head, scenes.maps(SIZE), CASES[case])
    assert all(value.isfinite() for value in found.values())
    sum(found.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    # The squared dice of an empty target is constant; Eq. 1's is not.
    if not loss:
        positive = case not in ("no objects", "no levels")
        assert bool(head.conv_kernel.weight.grad.any()) == positive
    assert head.conv_cls.weight.grad.any()


def test_masks_smaller_than_the_batch_and_samples_stay_as_they_are() -> None:
    head, maps = scenes.ours(loss=scenes.SOLO_LOSS), scenes.maps(SIZE)
    odd = [scenes.truth((61, 90), 5, 1), scenes.truth((50, 75), 5, 2)]
    found = losses(head, maps, odd)
    assert [(t.masks.height, t.masks.width) for t in odd] == [(61, 90), (50, 75)]
    theirs = scenes.theirs()
    theirs.load_state_dict(head.state_dict())
    expected = losses(theirs, maps, odd)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=0)


def test_polygons_train_as_their_bitmaps() -> None:
    head, maps = scenes.ours(), scenes.maps(SIZE)
    polygon = [np.array([10.0, 8, 60, 12, 50, 50, 14, 40])]
    masks = PolygonMasks([polygon], *SIZE)
    truth = scenes.rectangles(SIZE, [(10, 8, 60, 50)])
    found = []
    for form in (masks, masks.to_bitmap()):
        truth.masks = form
        found.append(losses(head, maps, [truth, empty()]))
    assert found[0] == found[1]


def test_masks_of_other_numbers_than_one_are_masks() -> None:
    head, maps, truth = scenes.ours(), scenes.maps(SIZE), scenes.truth(SIZE, 4)
    expected = losses(head, maps, [truth, empty()])
    truth.masks.masks *= 255
    assert losses(head, maps, [truth, empty()]) == expected


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_plain_tensors_and_boxes_of_mmdet_train_as_well(dtype: torch.dtype) -> None:
    head, maps = scenes.ours(), scenes.maps(SIZE)
    truths = [scenes.truth(SIZE, 4), empty()]
    expected = losses(head, maps, truths)
    samples = [scenes.sample(truth, SIZE) for truth in truths]
    for truth in truths:
        truth.masks = truth.masks.to_tensor(dtype, "cpu")
        truth.bboxes = HorizontalBoxes(truth.bboxes)
    assert head.loss(maps, samples) == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_trains(dtype: torch.dtype) -> None:
    head = scenes.ours()
    with torch.autocast("cpu", dtype=dtype):
        found = losses(head, scenes.maps(SIZE), [scenes.truth(SIZE, 6), empty()])
    assert all(value.dtype == torch.float32 and value.isfinite() for value in found.values())
    sum(found.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"loss_mask": {"type": "DiceLoss"}}, "loss_mask moved into loss: write loss=dict"),
        ({"loss_cls": {}, "loss_mask": {}}, "loss_cls and loss_mask moved into loss"),
        (
            {"num_grids": [7, 5]},
            "differ: 2 num_grids, 3 scale_ranges, 3 strides",
        ),
        (
            {"strides": (8,)},
            "differ: 3 num_grids, 3 scale_ranges, 1 strides",
        ),
        ({"scale_ranges": ((1, 2), (4, 3), (1, 2))}, r"pairs \(from, to\) in pixels, got \(4, 3\)"),
        ({"num_grids": [7, 5, 0]}, "num_grids must be whole numbers, at least 1, got 0"),
        ({"dynamic_conv_size": 3}, "dynamic_conv_size must be 1, got 3"),
        ({"mask_feature_head": {"feat_channels": 8}}, "mask_feature_head must have out_channels"),
        ({"test_cfg": {"score": 1}}, r"test_cfg has unknown keys \['score'\]"),
        ({"bogus": 1}, "AdaptiveSOLOv2Head has no key 'bogus': leave it out"),
        (
            {"stacked_conv": 1, "bogus": 1},
            "no key 'bogus': leave it out; no key 'stacked_conv': write 'stacked_convs'",
        ),
    ],
)
def test_bad_settings_are_named(changes: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        scenes.ours(**changes)


def test_the_map_for_the_mask_features_is_no_level_of_the_grids() -> None:
    levels = {
        "num_grids": [7, 5, 3, 2],
        "scale_ranges": [(1, 99)] * 4,
        "strides": [8] * 4,
    }
    head = scenes.ours(mask_feature_head=CSMF_CFG, **levels)
    with pytest.raises(InputError, match="top_index=-1 .* raise num_outs of the neck to 4"):
        head(scenes.maps(SIZE, count=4))


def test_bad_batches_are_named() -> None:
    head = scenes.ours()
    with pytest.raises(ValueError, match="the head has 3 levels .* the neck gives 2 maps"):
        head(scenes.maps(SIZE, count=2))
    truth = scenes.truth(SIZE, 2)
    for wrong, index in ((3, 1), (-1, 0)):
        truth.labels[:] = torch.tensor([0, 1])
        truth.labels[index] = wrong
        for truths, name in (([empty(), truth], "b"), ([truth, empty()], "a")):
            samples = [scenes.sample(one, SIZE) for one in truths]
            for path, one in zip("ab", samples, strict=True):
                one.set_metainfo({"img_path": path})
            with pytest.raises(ValueError, match=f"label {wrong} of image '{name}' is outside 0"):
                head.loss(scenes.maps(SIZE), samples)
    sample = scenes.sample(empty(), SIZE)
    sample.set_metainfo({"batch_input_shape": SIZE})
    head.mask_stride = 8
    for call in (head.loss, head.predict):
        with pytest.raises(InputError, match="times mask_stride=8 .* set mask_stride to 4"):
            call(scenes.maps(SIZE, batch=1), [sample])
    head.mask_stride = 4
    with pytest.raises(ValueError, match="masks of 80x96 pixels are larger"):
        losses(head, scenes.maps(SIZE), [scenes.truth((80, 96), 2), empty()])
