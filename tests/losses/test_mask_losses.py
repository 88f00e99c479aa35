"""Dice and cross-entropy of masks: formulas, pairs against rows, precision, no masks."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from attnseg.losses import mask_bce_loss, mask_dice_loss, pairwise_bce_cost, pairwise_dice_cost

ROWS = [mask_dice_loss, mask_bce_loss]
PAIRS = [pairwise_dice_cost, pairwise_bce_cost]


def case(n: int = 4, m: int = 3, p: int = 17, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(n, p, generator=generator, dtype=torch.float64)
    return logits, torch.rand(m, p, generator=generator, dtype=torch.float64)


def test_known_values() -> None:
    logits = torch.zeros(1, 4)
    targets = torch.tensor([[1.0, 1, 0, 0]])
    # p = 1/2 everywhere: overlap 1, sums 2 and 2; every pixel costs log 2.
    torch.testing.assert_close(mask_dice_loss(logits, targets), torch.tensor([1 - 3 / 5]))
    torch.testing.assert_close(mask_bce_loss(logits, targets), torch.tensor([math.log(2)]))


def test_perfect_and_opposite_masks() -> None:
    targets = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]])
    right = 200 * targets - 100
    torch.testing.assert_close(mask_dice_loss(right, targets), torch.zeros(2))
    torch.testing.assert_close(mask_bce_loss(right, targets), torch.zeros(2))
    torch.testing.assert_close(
        mask_dice_loss(-right, targets), torch.tensor([1 - 1 / 5, 1 - 1 / 5])
    )
    torch.testing.assert_close(mask_bce_loss(-right, targets), torch.full((2,), 100.0))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 5), m=st.integers(1, 5), p=st.integers(1, 30), seed=st.integers(0, 99))
def test_pairs_are_the_rows_of_every_combination(n: int, m: int, p: int, seed: int) -> None:
    logits, targets = case(n, m, p, seed)
    for pairs, rows in zip(PAIRS, ROWS, strict=True):
        wanted = torch.stack(
            [rows(x.expand(m, p), targets) for x in logits],
        )
        torch.testing.assert_close(pairs(logits, targets), wanted)
    by_hand = F.binary_cross_entropy(
        logits.sigmoid()[:, None].expand(-1, m, -1), targets.expand(n, -1, -1), reduction="none"
    ).mean(2)
    torch.testing.assert_close(pairwise_bce_cost(logits, targets), by_hand)


@pytest.mark.parametrize("loss", ROWS)
def test_gradients(loss) -> None:
    logits, targets = case(3, 3, 6)
    assert gradcheck(lambda x: loss(x, targets), logits.requires_grad_())


@pytest.mark.parametrize("loss", [*ROWS, *PAIRS])
def test_boolean_targets_count_as_ones(loss) -> None:
    logits, targets = case(3, 3)
    mask = targets > 0.5
    torch.testing.assert_close(loss(logits, mask), loss(logits, mask.double()))


@pytest.mark.parametrize("loss", [*ROWS, *PAIRS])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(loss, dtype: torch.dtype) -> None:
    # The sum of 70,000 probabilities is beyond float16, and a bfloat16 sum would stop at 256.
    logits = torch.full((2, 70_000), 6.0, dtype=dtype, requires_grad=True)
    targets = torch.ones(2, 70_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, targets)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.double(), targets).float(), atol=1e-5, rtol=1e-4)
    value.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", ROWS)
def test_no_masks_give_a_connected_zero(loss) -> None:
    logits = torch.zeros(0, 5, requires_grad=True)
    value = loss(logits, torch.zeros(0, 5))
    assert value.shape == (0,)
    value.sum().backward()
    assert logits.grad.shape == (0, 5)


@pytest.mark.parametrize("cost", PAIRS)
def test_no_truth_gives_costs_without_columns(cost) -> None:
    assert cost(torch.zeros(4, 5), torch.zeros(0, 5)).shape == (4, 0)


@pytest.mark.parametrize("loss", ROWS)
def test_shapes_of_rows_are_checked(loss) -> None:
    with pytest.raises(ValueError, match=rf"{loss.__name__} expects .* \(3, 5\) and \(3, 4\)"):
        loss(torch.zeros(3, 5), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="flatten"):
        loss(torch.zeros(3, 5, 5), torch.zeros(3, 5, 5))


@pytest.mark.parametrize("cost", PAIRS)
def test_shapes_of_pairs_are_checked(cost) -> None:
    with pytest.raises(ValueError, match=rf"{cost.__name__} expects .* \(3, 5\) and \(2, 4\)"):
        cost(torch.zeros(3, 5), torch.zeros(2, 4))
