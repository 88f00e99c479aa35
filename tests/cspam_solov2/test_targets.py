"""Cells and small masks of the batched assignment against mmdet's loops and mmcv's resizing."""

import mmcv
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.utils import center_of_mass
from mmengine.structures import InstanceData
from torch import Tensor

from attnseg.cspam_solov2.targets import (
    assign_cells,
    batch_targets,
    centres_of_mass,
    shrink_masks,
)
from tests.cspam_solov2 import scenes

HEAD = scenes.theirs()


def assign(instances: list[InstanceData], size: tuple[int, int], **levels: object) -> tuple:
    masks = [torch.from_numpy(one.masks.masks) for one in instances]
    image = torch.cat([torch.full_like(one.labels, i) for i, one in enumerate(instances)])
    levels = {**scenes.LEVELS, **levels}
    return assign_cells(
        torch.cat([one.bboxes for one in instances]),
        torch.cat([centres_of_mass(mask) for mask in masks]),
        image,
        size,
        levels["num_grids"],
        levels["scale_ranges"],
    )


def loops(
    head: object, instances: list[InstanceData], map_size: tuple[int, int]
) -> tuple[list[int], list[Tensor], list[int], list[int]]:
    """Cells of mmdet's pairs, sorted; their targets; positive cells; classes of all cells."""
    total = sum(grid**2 for grid in head.num_grids)
    cells, targets, positive, classes = [], [], [], []
    for image, one in enumerate(instances):
        start = image * total
        for masks, labels, flags, index in zip(
            *head._get_targets_single(one, map_size), strict=True
        ):
            cells += [start + i for i in index]
            targets += list(masks)
            positive += [start + int(i) for i in flags.nonzero()]
            classes += labels.flatten().tolist()
            start += labels.numel()
    order = np.argsort(cells, kind="stable")
    return [cells[i] for i in order], [targets[i] for i in order], sorted(positive), classes


def compare(head: object, instances: list[InstanceData], size: tuple[int, int]) -> None:
    map_size = (size[0] // 4, size[1] // 4)
    cell, obj = assign(instances, size, num_grids=head.num_grids, scale_ranges=head.scale_ranges)
    expected, targets, positive, classes = loops(head, instances, map_size)
    cell, order = cell.sort(stable=True)
    obj = obj[order]
    assert cell.tolist() == expected
    assert cell.unique().tolist() == positive
    small = torch.cat(
        [shrink_masks(torch.from_numpy(one.masks.masks), 4, map_size) for one in instances]
    )
    if targets:
        assert torch.equal(small[obj], torch.stack(targets))
    labels = torch.cat([one.labels for one in instances])
    found = torch.full((len(classes),), head.num_classes)
    found[cell] = labels[obj]
    # The last pair of a cell gives its class in mmdet; on the CPU so does an indexed write.
    assert found.tolist() == classes


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    size=st.sampled_from([(64, 64), (64, 96), (128, 32), (96, 160)]),
)
def test_cells_and_masks_are_those_of_the_loops(
    seed: int, counts: list[int], size: tuple[int, int]
) -> None:
    instances = [scenes.truth(size, count, seed + i) for i, count in enumerate(counts)]
    compare(HEAD, instances, size)


def test_full_grids_on_a_large_scene() -> None:
    levels = {
        "num_grids": [40, 36, 24, 16, 12],
        "scale_ranges": ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)),
        "strides": (8, 8, 16, 32, 32),
    }
    compare(scenes.theirs(**levels), [scenes.truth((704, 1216), 20, 3)], (704, 1216))


@settings(max_examples=200, deadline=None)
@given(
    centre=st.tuples(st.integers(0, 2**16), st.integers(0, 2**16)),
    side=st.tuples(st.floats(0.5, 700), st.floats(0.5, 700)),
)
def test_borders_of_cells_round_as_in_the_loops(centre: tuple, side: tuple) -> None:
    # Any place, also exactly on a border between cells: the same expressions on single numbers.
    size, grid, scale = (704, 1216), 40, 0.2
    place = torch.tensor(centre, dtype=torch.float32) / 2**16 * torch.tensor(size)
    h, w = (torch.tensor(s, dtype=torch.float32) for s in side)
    box = torch.stack([place[1] - w / 2, place[0] - h / 2, place[1] + w / 2, place[0] + h / 2])
    expected = []
    for axis, (low, high) in enumerate(((1, 3), (0, 2))):
        reach = 0.5 * (box[high] - box[low]) * scale

        def at(value: Tensor, axis: int = axis) -> int:
            return int(torch.div(value / size[axis], 1.0 / grid, rounding_mode="trunc"))

        near = at(place[axis])
        first = max(max(0, at(place[axis] - reach)), near - 1)
        last = min(min(grid - 1, at(place[axis] + reach)), near + 1)
        expected.append(range(first, last + 1))
    cells = [y * grid + x for y in expected[0] for x in expected[1]]
    cell, _ = assign_cells(
        box[None], place[None], torch.zeros(1, dtype=torch.int64), size, [grid], [(0, 5000)], scale
    )
    assert cell.tolist() == cells


def test_both_ends_of_a_range_belong_to_the_level() -> None:
    # Roots of areas 23, 24 and 48 with ranges 1-24, 12-48 and 32-512: levels 0, 1; 0, 1; 1, 2.
    instances = scenes.rectangles((64, 64), [(0, 0, 23, 23), (0, 0, 24, 24), (0, 0, 48, 48)])
    cell, obj = assign([instances], (64, 64))
    level = torch.bucketize(cell, torch.tensor([49, 74, 83]), right=True)
    found = set(zip(obj.tolist(), level.tolist(), strict=True))
    assert found == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2)}


def test_objects_of_a_cell_ascend_and_none_is_lost() -> None:
    instances = scenes.rectangles((64, 64), [(30, 30, 34, 34)] * 100)
    cell, obj = assign([instances], (64, 64))
    assert set(cell.tolist()) == {24}
    assert obj.tolist() == list(range(100))


def test_no_objects_and_no_pixels_give_no_pairs() -> None:
    assert assign([scenes.truth((64, 64), 0)], (64, 64)).cell.shape == (0,)
    hollow = scenes.rectangles((64, 64), [(5, 5, 20, 20)])
    hollow.masks.masks[:] = 0
    assert assign([hollow, scenes.truth((64, 64), 0)], (64, 64)).cell.shape == (0,)


def test_labels_and_boxes_come_to_the_cpu_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    monkeypatch.setattr(Tensor, "cpu", lambda x: copies.append(x.shape) or x)
    truths = [scenes.truth((64, 64), count, count) for count in (3, 0, 5, 2)]
    batch_targets(truths, (16, 16), 4, scenes.LEVELS["num_grids"], scenes.LEVELS["scale_ranges"])
    assert copies == [(10,), (10, 4)]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 8), (300, 20), (9, 2100), (520, 64)])
def test_centres_of_mass_are_mmdets(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(4, *size, generator=generator) < 0.7).to(torch.uint8)
    masks[0], masks[1] = 1, 0
    found = centres_of_mass(masks)
    assert found[1].isnan().all()
    for mask, centre in zip(masks[[0, 2, 3]], found[[0, 2, 3]], strict=True):
        if mask.any():
            assert centre.tolist() == [float(v) for v in center_of_mass(mask.bool())]


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 8])
def test_small_masks_are_mmcvs(stride: int) -> None:
    rng = np.random.default_rng(stride)
    masks = (rng.random((5, 6 * stride, 9 * stride)) < 0.5).astype(np.uint8)
    found = shrink_masks(torch.from_numpy(masks), stride, (6, 9))
    expected = [mmcv.imrescale(mask, scale=1 / stride) for mask in masks]
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), np.stack(expected))


def test_other_sizes_are_padded_first() -> None:
    masks = torch.ones(2, 10, 7, dtype=torch.uint8)
    found = shrink_masks(masks, 4, (4, 5))
    padded = torch.nn.functional.pad(masks, (0, 13, 0, 6))
    expected = [mmcv.imrescale(mask.numpy(), scale=0.25) for mask in padded]
    assert np.array_equal(found.numpy(), np.stack(expected))
    assert shrink_masks(masks[:0], 4, (4, 5)).shape == (0, 4, 5)


def test_masks_larger_than_the_batch_are_named() -> None:
    with pytest.raises(ValueError, match="masks of 10x7 pixels are larger than mask features of 2"):
        shrink_masks(torch.ones(1, 10, 7, dtype=torch.uint8), 4, (2, 5))
