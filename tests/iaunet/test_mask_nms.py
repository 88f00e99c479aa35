import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attnseg.iaunet.mask_nms import (
    greedy_keep,
    intersection_matrix,
    keep_by_product,
    keep_greedily,
    mask_nms,
)


def pairwise_nms(masks: Tensor, scores: Tensor, labels: Tensor, iou_thr: float) -> list[int]:
    """The textbook loop over pairs of full-size masks."""
    order = sorted(range(len(masks)), key=lambda i: (-scores[i].item(), i))
    kept: list[int] = []
    for i in order:
        for j in kept:
            if labels[i] != labels[j]:
                continue
            union = int((masks[i] | masks[j]).sum())
            if union and int((masks[i] & masks[j]).sum()) / union > iou_thr:
                break
        else:
            kept.append(i)
    return kept


def discs(count: int, height: int, width: int, radius: float, seed: int) -> Tensor:
    """Random discs, every second one close to the one before it."""
    generator = torch.Generator().manual_seed(seed)
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.rand(count, 2, generator=generator) * torch.tensor([height, width])
    centres[1::2] = centres[: count - 1 : 2] + torch.randn(
        len(centres[1::2]), 2, generator=generator
    )
    radii = radius * (0.7 + 0.6 * torch.rand(count, generator=generator))
    distance = (rows - centres[:, 0, None, None]) ** 2 + (cols - centres[:, 1, None, None]) ** 2
    return distance < radii[:, None, None] ** 2


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 14),
    height=st.integers(1, 33),
    width=st.integers(1, 41),
    radius=st.floats(0.5, 14),
    classes=st.integers(1, 3),
    distinct_scores=st.integers(1, 8),
    iou_thr=st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_equals_the_pairwise_loop(
    count: int,
    height: int,
    width: int,
    radius: float,
    classes: int,
    distinct_scores: int,
    iou_thr: float,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = discs(count, height, width, radius, seed)
    scores = torch.randint(distinct_scores, (count,), generator=generator) / 8
    labels = torch.randint(classes, (count,), generator=generator)
    kept = mask_nms(masks, scores, labels, iou_thr)
    assert kept.dtype == torch.int64
    assert kept.tolist() == pairwise_nms(masks, scores, labels, iou_thr)
    order = scores.sort(descending=True, stable=True).indices
    assert torch.equal(keep_by_product(masks, order, labels, iou_thr), kept)


@pytest.mark.parametrize("radius", [3, 60])
def test_the_product_counts_exactly(radius: int) -> None:
    masks = discs(9, 70, 90, radius, seed=1)
    expected = torch.tensor([[int((a & b).sum()) for b in masks] for a in masks])
    assert torch.equal(intersection_matrix(masks), expected.double())


def test_an_iou_at_the_threshold_is_no_duplicate() -> None:
    # 4 of 5 pixels, and boxes and areas that allow no more.
    masks = torch.zeros(2, 1, 8, dtype=torch.bool)
    masks[0, 0, :5], masks[1, 0, :4] = True, True
    for iou_thr, kept in ((0.8, [0, 1]), (0.7999999999999999, [0])):
        assert mask_nms(masks, torch.tensor([0.9, 0.8]), torch.zeros(2), iou_thr).tolist() == kept


def test_masks_that_are_no_block_of_memory() -> None:
    masks = discs(20, 64, 48, 20, seed=2)
    scores, labels = torch.rand(20), torch.zeros(20)
    turned = masks.transpose(1, 2).contiguous().transpose(1, 2)
    assert not turned.is_contiguous()
    assert torch.equal(mask_nms(turned, scores, labels, 0.6), mask_nms(masks, scores, labels, 0.6))


def test_dense_product_is_exact_beyond_the_range_of_float32_and_of_half_precision() -> None:
    # 2**24 + 1 pixels are one more than float32 can count.
    masks = torch.ones(1, 1, 2**24 + 1, dtype=torch.bool)
    assert intersection_matrix(masks).item() == 2**24 + 1
    masks = torch.ones(2, 61, 83, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(intersection_matrix(masks), torch.full((2, 2), 61.0 * 83).double())


def test_classes_do_not_suppress_each_other() -> None:
    masks = torch.ones(4, 5, 7, dtype=torch.bool)
    scores = torch.tensor([0.1, 0.9, 0.8, 0.3])
    assert mask_nms(masks, scores, torch.tensor([0, 0, 1, 1]), 0.5).tolist() == [1, 2]


def test_equal_scores_keep_the_lower_index() -> None:
    masks = torch.ones(300, 3, 3, dtype=torch.bool)
    kept = mask_nms(masks, torch.full((300,), 0.5), torch.arange(300) % 2, 0.5)
    assert kept.tolist() == [0, 1]


def test_empty_masks_are_kept_and_suppress_nothing() -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[2, 1, 1] = True
    kept = mask_nms(masks, torch.tensor([0.5, 0.9, 0.7]), torch.zeros(3), 0.0)
    assert kept.tolist() == [1, 2, 0]


def test_a_suppressed_mask_suppresses_nobody() -> None:
    # Each one overlaps the next by 3 of 5 pixels: the second goes, so the third stays.
    masks = torch.zeros(4, 1, 12, dtype=torch.bool)
    for i in range(4):
        masks[i, 0, i : i + 4] = True
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert mask_nms(masks, scores, torch.zeros(4), 0.5).tolist() == [0, 2]


def test_greedy_keep_of_a_long_chain() -> None:
    chain = torch.diag(torch.ones(40, dtype=torch.bool), 1)
    assert greedy_keep(chain).nonzero()[:, 0].tolist() == list(range(0, 41, 2))


@given(count=st.integers(0, 12), share=st.floats(0, 1), seed=st.integers(0, 2**16))
def test_conflicts_as_pairs_give_what_their_matrix_gives(
    count: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    conflicts = np.triu(rng.random((count, count)) < share, 1)
    order = rng.permutation(count)[: rng.integers(0, count, endpoint=True)]
    square = (conflicts | conflicts.T)[np.ix_(order, order)]
    expected = order[greedy_keep(torch.from_numpy(square)).numpy()]
    assert np.array_equal(keep_greedily(order, *np.nonzero(conflicts)), expected)


def test_nothing_in_nothing_out() -> None:
    empty = torch.zeros(0)
    assert mask_nms(torch.zeros(0, 8, 9, dtype=torch.bool), empty, empty, 0.8).tolist() == []


@pytest.mark.parametrize(
    ("masks", "scores", "message"),
    [
        (torch.zeros(2, 4, 4), torch.zeros(2), "bool"),
        (torch.zeros(4, 4, dtype=torch.bool), torch.zeros(4), r"\(n, H, W\)"),
        (torch.zeros(2, 4, 4, dtype=torch.bool), torch.zeros(3), "2 masks need as many scores"),
    ],
)
def test_wrong_shapes_are_named(masks: Tensor, scores: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_nms(masks, scores, torch.zeros(len(scores)), 0.5)
