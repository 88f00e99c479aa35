"""The matcher: best of all assignments, costs by their formulas, odd numbers of objects."""

import itertools

import pytest
import torch
from torch import Tensor

from attnseg.iaunet import matching
from attnseg.iaunet.matching import HungarianMaskMatcher, match_costs
from attnseg.iaunet.structures import MaskTruth
from attnseg.losses import mask_bce_loss, mask_dice_loss
from attnseg.registry import TASK_UTILS


def case(n: int, m: int, size: tuple[int, int] = (6, 9), k: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(m, *size, generator=generator) > 0.6
    labels = torch.randint(0, k, (m,), generator=generator)
    logits = 3 * torch.randn(n, *size, generator=generator)
    return torch.randn(n, k + 1, generator=generator), logits, MaskTruth(labels, masks)


def costs(classes: Tensor, logits: Tensor, truth: MaskTruth, weights=(1.0, 2.0, 5.0)) -> Tensor:
    """The definition, pair by pair, over all pixels."""
    table = torch.zeros(len(logits), len(truth.labels))
    for i, j in itertools.product(range(len(logits)), range(len(truth.labels))):
        x, t = logits[i].view(1, -1), truth.masks[j].view(1, -1).float()
        probability = classes[i].exp()[truth.labels[j]] / classes[i].exp().sum()
        table[i, j] = (
            -weights[0] * probability
            + weights[1] * mask_dice_loss(x, t)[0]
            + weights[2] * mask_bce_loss(x, t)[0]
        )
    return table


def test_costs_follow_their_definition() -> None:
    classes, logits, truth = case(5, 3)
    got = match_costs(
        classes, logits.flatten(1), truth.labels, truth.masks.flatten(1), 0.5, 3.0, 4.0
    )
    torch.testing.assert_close(got, costs(classes, logits, truth, (0.5, 3.0, 4.0)))


@pytest.mark.parametrize(("n", "m"), [(5, 3), (4, 4), (3, 5), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_no_assignment_is_cheaper(n: int, m: int, seed: int) -> None:
    classes, logits, truth = case(n, m, seed=seed)
    queries, objects = HungarianMaskMatcher(mode="dense")(classes, logits, truth)
    table = costs(classes, logits, truth)
    size = min(n, m)
    assert len(set(queries.tolist())) == len(set(objects.tolist())) == len(queries) == size
    assert torch.equal(queries, queries.sort().values)
    best = min(
        table[list(rows), list(columns)].sum().item()
        for rows in itertools.combinations(range(n), size)
        for columns in itertools.permutations(range(m), size)
    )
    assert table[queries, objects].sum().item() == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("mode", ["points", "dense"])
@pytest.mark.parametrize("size", [(16, 24), (4, 6), (5, 7)])
def test_shuffled_truth_is_found_on_coarser_grids(mode: str, size: tuple[int, int]) -> None:
    masks = torch.zeros(4, 16, 24, dtype=torch.bool)
    for i, (row, column) in enumerate([(0, 0), (0, 12), (8, 0), (8, 12)]):
        masks[i, row : row + 8, column : column + 12] = True
    order = torch.tensor([2, 0, 3, 1])
    coarse = torch.nn.functional.adaptive_avg_pool2d(masks[order].float(), size)
    queries, objects = HungarianMaskMatcher(mode=mode, num_points=100)(
        torch.zeros(4, 2), 20 * coarse - 10, MaskTruth(torch.zeros(4, dtype=torch.long), masks)
    )
    assert queries.tolist() == [0, 1, 2, 3]
    assert torch.equal(objects, order)


@pytest.mark.parametrize("grid", [(6, 9), (3, 3), (4, 5), (7, 12)])
def test_dense_costs_take_the_truth_at_the_centre_of_each_cell(
    grid: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, logits, truth = case(5, 3, size=(6, 9))
    seen = []

    def keep(*inputs: Tensor | float) -> Tensor:
        seen.append(inputs[3])
        return match_costs(*inputs)

    monkeypatch.setattr(matching, "match_costs", keep)
    logits = torch.nn.functional.interpolate(logits[None], grid, mode="bilinear")[0]
    HungarianMaskMatcher(mode="dense")(classes, logits, truth)
    masks = truth.masks[None].float()
    wanted = torch.nn.functional.interpolate(masks, grid, mode="nearest-exact")[0]
    assert torch.equal(seen[0], wanted.flatten(1).bool())


def test_the_class_decides_between_equal_masks() -> None:
    masks = torch.ones(2, 4, 4, dtype=torch.bool)
    classes = torch.tensor([[0.0, 2, 0], [2, 0, 0]])
    truth = MaskTruth(torch.tensor([0, 1]), masks)
    _, objects = HungarianMaskMatcher(mode="dense")(classes, torch.zeros(2, 4, 4), truth)
    assert objects.tolist() == [1, 0]


@pytest.mark.parametrize("mode", ["points", "dense"])
def test_no_objects_and_no_queries(mode: str) -> None:
    matcher = HungarianMaskMatcher(mode=mode, num_points=9)
    for n, m in ((4, 0), (0, 2)):
        queries, objects = matcher(*case(n, m))
        assert queries.shape == objects.shape == (0,)
        assert queries.dtype == objects.dtype == torch.long


@pytest.mark.parametrize("mode", ["points", "dense"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_broken_queries_are_taken_last(mode: str, value: float) -> None:
    classes, logits, truth = case(5, 3)
    logits[1] = value
    classes[3] = value
    queries, _ = HungarianMaskMatcher(mode=mode, num_points=50)(classes, logits, truth)
    assert queries.tolist() == [0, 2, 4]
    queries, objects = HungarianMaskMatcher(mode=mode, num_points=50)(
        torch.full_like(classes, value), torch.full_like(logits, value), truth
    )
    assert len(queries) == len(objects) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_matches_as_its_values_in_float64(dtype: torch.dtype) -> None:
    classes, logits, truth = case(6, 4)
    classes, logits = classes.to(dtype), logits.to(dtype)
    matcher = HungarianMaskMatcher(mode="dense")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = matcher(classes, logits, truth)
    for mine, wanted in zip(got, matcher(classes.double(), logits.double(), truth), strict=True):
        assert torch.equal(mine, wanted)


def test_points_repeat_under_a_seed() -> None:
    inputs = case(30, 20, seed=3)
    matcher = HungarianMaskMatcher(num_points=5)
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        results.append(matcher(*inputs)[1])
    assert torch.equal(*results)
    assert any(not torch.equal(matcher(*inputs)[1], results[0]) for _ in range(5))


def test_settings_are_checked_and_the_registry_knows_it() -> None:
    built = TASK_UTILS.build(dict(type="attnseg.HungarianMaskMatcher", mode="dense"))
    assert isinstance(built, HungarianMaskMatcher)
    with pytest.raises(ValueError, match="HungarianMaskMatcher: mode must be one of .*'sparse'"):
        HungarianMaskMatcher(mode="sparse")
    with pytest.raises(ValueError, match="num_points must be at least 1, got 0"):
        HungarianMaskMatcher(num_points=0)
