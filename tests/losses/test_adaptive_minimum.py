"""The adaptive minimum loss against slow loops straight from its equations."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attnseg.losses import AdaptiveMinimumLoss
from attnseg.losses.adaptive_minimum import choose, focal_terms, mask_terms

SWITCHES = [
    dict(zip(("minimum", "centroid", "dice", "sigmoid"), values, strict=True))
    for values in itertools.product((True, False), (True, False), ("linear", "squared"), (0, 1))
]
for row in SWITCHES:
    row["sigmoid"] = bool(row["sigmoid"])
NAMES = ("class_logits", "kernels", "features")


def scene(
    seed: int,
    batch: int = 2,
    cells: int = 4,
    objects: int = 6,
    pairs: int = 9,
    size: tuple[int, int] = (5, 7),
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """Pairs with collisions; objects and pairs come from each image of the batch in turn."""
    g = torch.Generator().manual_seed(seed)
    image = torch.arange(objects) % batch
    obj = torch.randint(objects, (pairs,), generator=g) if objects else torch.zeros(0).long()
    cell = image[obj] * cells + torch.randint(cells, (len(obj),), generator=g)
    # A cell has an object once.
    unique = torch.stack([cell, obj], 1).unique(dim=0)
    cell, obj = unique[torch.randperm(len(unique), generator=g)].unbind(1)
    masks = (torch.rand(objects, *size, generator=g) < 0.4).to(torch.uint8)
    masks[: objects // 4] = 0
    return {
        "class_logits": torch.randn(batch, cells, 3, generator=g, dtype=dtype),
        "kernels": torch.randn(batch, cells, 4, generator=g, dtype=dtype),
        "features": torch.randn(batch, 4, *size, generator=g, dtype=dtype),
        "cell": cell,
        "obj": obj,
        "labels": torch.randint(3, (objects,), generator=g),
        "masks": masks,
    }


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def focal(x: Tensor, positive: bool) -> Tensor:
    p = sigmoid(x)
    if positive:
        return -0.25 * (1 - p) ** 2 * torch.log(p)
    return -0.75 * p**2 * torch.log(1 - p)


def mask_term(m: list[list[Tensor]], g: Tensor, dice: str, centroid: bool) -> Tensor:
    height, width = g.shape
    overlap = mass = area = square = mx = my = gx = gy = torch.zeros((), dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            value, true = m[y][x], float(g[y, x])
            overlap = overlap + value * true
            mass, area, square = mass + value, area + true, square + value**2
            mx, my = mx + value * x / width, my + value * y / height
            gx, gy = gx + true * x / width, gy + true * y / height
    if dice == "linear":
        term = 1 - (2 * overlap + 1) / (mass + area + 1)
    else:
        term = 1 - 2 * overlap / (square + 1e-3 + area + 1e-3)
    if centroid and area > 0:
        distance = (mx / mass - gx / area) ** 2 + (my / mass - gy / area) ** 2
        term = term + distance / (abs(overlap) + 1)
    return term


def literal(inputs: dict[str, Tensor], minimum: bool, centroid: bool, dice: str, sigmoid_: bool):
    logits, kernels, features = (inputs[name] for name in NAMES)
    batch, cells, classes = logits.shape
    height, width = features.shape[2:]
    loss_cls = loss_mask = torch.zeros((), dtype=torch.float64)
    positives = 0
    for image in range(batch):
        for cell in range(cells):
            x = logits[image, cell]
            found = [
                int(o)
                for c, o in zip(inputs["cell"], inputs["obj"], strict=True)
                if c == image * cells + cell
            ]
            costs, terms, cates = [], [], []
            for o in found:
                m = [
                    [
                        sigmoid(sum(kernels[image, cell] * features[image, :, row, column]))
                        for column in range(width)
                    ]
                    for row in range(height)
                ]
                terms.append(mask_term(m, inputs["masks"][o], dice, centroid))
                cates.append(
                    sum(focal(x[k], k == int(inputs["labels"][o])) for k in range(classes))
                )
                if sigmoid_:
                    costs.append((sigmoid(cates[-1]) + sigmoid(3 * terms[-1])).item())
                else:
                    costs.append((cates[-1] + 3 * terms[-1]).item())
            if not found:
                loss_cls = loss_cls + sum(focal(x[k], False) for k in range(classes))
                continue
            positives += 1
            if minimum:
                best = costs.index(min(costs))
                loss_mask, loss_cls = loss_mask + terms[best], loss_cls + cates[best]
            else:
                loss_mask, loss_cls = loss_mask + sum(terms), loss_cls + cates[-1]
    loss_mask, loss_cls = 3 * loss_mask / max(positives, 1), loss_cls / (positives + 1)
    if sigmoid_:
        return sigmoid(loss_mask), sigmoid(loss_cls)
    return loss_mask, loss_cls


def gradients(losses: tuple[Tensor, Tensor], inputs: dict[str, Tensor]) -> list[Tensor]:
    # Two factors, so that an exchange of the two losses shows.
    total = losses[0] + 0.7 * losses[1]
    found = torch.autograd.grad(total, [inputs[name] for name in NAMES], allow_unused=True)
    return [
        torch.zeros_like(inputs[name]) if grad is None else grad
        for name, grad in zip(NAMES, found, strict=True)
    ]


def run(inputs: dict[str, Tensor], **switches: object) -> tuple[Tensor, Tensor]:
    found = AdaptiveMinimumLoss(**switches)(**inputs)
    return found["loss_mask"], found["loss_cls"]


def compare(seed: int, switches: dict, **shape: object) -> None:
    inputs = scene(seed, **shape)
    for name in NAMES:
        inputs[name].requires_grad_()
    found, expected = run(inputs, **switches), literal(inputs, *switches.values())
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-10, atol=1e-12)
    for a, b in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_all_switches_agree_with_the_loops(switches: dict) -> None:
    compare(3, switches, cells=2, objects=5, pairs=8, size=(3, 4))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    cells=st.integers(1, 3),
    objects=st.integers(3, 6),
    pairs=st.integers(1, 7),
    size=st.sampled_from([(1, 1), (3, 5), (4, 2)]),
    switches=st.sampled_from(SWITCHES),
)
def test_random_scenes_agree_with_the_loops(seed: int, switches: dict, **shape: object) -> None:
    compare(seed, switches, **shape)


@pytest.mark.parametrize("switches", [SWITCHES[0], SWITCHES[1], SWITCHES[-2]], ids=str)
def test_loss_passes_gradcheck(switches: dict) -> None:
    inputs = scene(5, cells=2, size=(3, 2))

    def call(*leaves: Tensor) -> tuple[Tensor, ...]:
        return run({**inputs, **dict(zip(NAMES, leaves, strict=True))}, **switches)

    assert torch.autograd.gradcheck(call, [inputs[name].requires_grad_() for name in NAMES])


def test_analytic_values() -> None:
    # A mask of halves on 2 x 4 pixels, an object on the left half: overlap 2, mass 4, area 4.
    sums = torch.tensor([[2, 4, 4 * 0.5, 4 * 0.5, 2]]).double()
    truth = torch.tensor([[4, 4 * 0.25, 4 * 0.5]]).double()
    assert mask_terms(sums, truth, centroid=False).item() == pytest.approx(1 - 5 / 9)
    assert mask_terms(sums, truth).item() == pytest.approx(1 - 5 / 9 + 0.25**2 / 3)
    squared = mask_terms(sums, truth, "squared", centroid=False)
    assert squared.item() == pytest.approx(1 - 4 / 6.002)


def test_empty_targets_and_empty_masks_have_the_values_of_the_text() -> None:
    lost, blank = torch.zeros(1, 3).double(), torch.zeros(1, 5).double()
    soft = torch.tensor([[0, 4, 2, 2, 2]]).double().requires_grad_()
    assert mask_terms(soft, lost).item() == pytest.approx(1 - 1 / 5)
    assert mask_terms(soft, lost, "squared").item() == 1
    there = torch.tensor([[6, 3, 3]]).double()
    assert mask_terms(blank.requires_grad_(), there).item() == pytest.approx(1 - 1 / 7)
    for sums, truth in ((soft, lost), (blank, there), (blank, lost)):
        grad = torch.autograd.grad(mask_terms(sums, truth).sum(), sums)[0]
        assert grad.isfinite().all()


def test_the_cheapest_wins_and_counts_once() -> None:
    # One cell predicts the left half. An object on the right half comes last: SOLOv2 would learn
    # both masks and the class of the last.
    masks = torch.zeros(2, 2, 4)
    masks[0, :, :2], masks[1, :, 2:] = 1, 1
    inputs = {
        "class_logits": torch.zeros(1, 1, 2, requires_grad=True),
        "kernels": torch.tensor([[[10.0]]]),
        "features": (2 * masks[:1] - 1)[None],
        "cell": torch.tensor([0, 0]),
        "obj": torch.tensor([0, 1]),
        "labels": torch.tensor([0, 1]),
        "masks": masks,
    }
    for order in ([0, 1], [1, 0]):
        inputs["obj"] = torch.tensor(order)
        loss_mask, loss_cls = run(inputs)
        assert loss_mask.item() == pytest.approx(0, abs=1e-3)
        pull = torch.autograd.grad(loss_cls, inputs["class_logits"])[0].flatten()
        assert pull[0] < 0 < pull[1]
        # Eight ninths for the mask that is nowhere right.
        both, loss_cls = run(inputs, minimum=False, centroid=False)
        assert both.item() == pytest.approx(3 * 8 / 9, rel=1e-3)
        pull = torch.autograd.grad(loss_cls, inputs["class_logits"])[0].flatten()
        assert pull[order[1]] < 0 < pull[order[0]]


def test_the_class_takes_part_in_the_choice() -> None:
    inputs = scene(0, batch=1, cells=1, objects=1, pairs=1)
    inputs["masks"] = torch.ones(2, 5, 7)
    inputs["cell"], inputs["obj"] = torch.tensor([0, 0]), torch.tensor([0, 1])
    inputs["labels"] = torch.tensor([0, 2])
    inputs["class_logits"] = torch.tensor([[[-4.0, -4.0, 4.0]]], dtype=torch.float64)
    alone = {**inputs, "cell": torch.tensor([0]), "obj": torch.tensor([1])}
    assert torch.stack(run(inputs)).equal(torch.stack(run(alone)))


def test_choice_takes_the_first_of_equals_and_no_nan() -> None:
    owner = torch.tensor([1, 0, 1, 0, 2, 1])
    cost = torch.tensor([2.0, math.nan, 1.0, 5.0, math.nan, 1.0])
    assert choose(owner, cost, 3).tolist() == [3, 2, 4]


@pytest.mark.parametrize("switches", SWITCHES[::3], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_and_close(dtype: torch.dtype, switches: dict) -> None:
    exact = scene(1, size=(40, 50), dtype=torch.float32)
    for name in NAMES:
        exact[name] = (exact[name] * 8).to(dtype).float()
    half = {**exact, **{name: exact[name].to(dtype).requires_grad_() for name in NAMES}}
    with torch.autocast("cpu", dtype=dtype):
        found = run(half, **switches)
        # Also where the backward pass runs inside of autocast.
        grads = torch.autograd.grad(sum(found), [half[name] for name in NAMES])
    assert all(loss.dtype == torch.float32 for loss in found)
    assert all(grad.isfinite().all() and grad.any() for grad in grads)
    torch.testing.assert_close(torch.stack(found), torch.stack(run(exact, **switches)))


@pytest.mark.parametrize("scale", [1e4, -1e4])
@pytest.mark.parametrize("switches", SWITCHES[::5], ids=str)
def test_saturated_masks_are_finite(scale: float, switches: dict) -> None:
    inputs = scene(2, dtype=torch.float32)
    inputs["kernels"] = torch.full_like(inputs["kernels"], scale).requires_grad_()
    inputs["features"] = torch.ones_like(inputs["features"]).requires_grad_()
    inputs["class_logits"] = (inputs["class_logits"] * scale).requires_grad_()
    losses = run(inputs, **switches)
    assert all(loss.isfinite() for loss in losses)
    assert all(grad.isfinite().all() for grad in gradients(losses, inputs))


@pytest.mark.parametrize("switches", SWITCHES[::3], ids=str)
def test_no_objects_give_zeros_with_a_graph(switches: dict) -> None:
    inputs = scene(0, objects=0, dtype=torch.float16)
    inputs["features"] = torch.full_like(inputs["features"], 6e4)
    for name in NAMES:
        inputs[name].requires_grad_()
    loss_mask, loss_cls = run(inputs, **switches)
    assert loss_mask.item() == (0.5 if switches["sigmoid"] else 0)
    assert loss_cls > 0
    grads = torch.autograd.grad(loss_mask + loss_cls, [inputs[name] for name in NAMES])
    assert [bool(grad.any()) for grad in grads] == [True, False, False]
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("count", [100, 200])
def test_many_objects_in_one_cell(count: int) -> None:
    inputs = scene(0, batch=1, cells=3, objects=count, pairs=1, dtype=torch.float32)
    inputs["cell"], inputs["obj"] = torch.ones(count).long(), torch.arange(count)
    for name in NAMES:
        inputs[name].requires_grad_()
    losses = run(inputs)
    one = [
        run({**inputs, "cell": torch.tensor([1]), "obj": torch.tensor([o])}) for o in range(count)
    ]
    # The class term of the choice is not divided by the cells.
    costs = [(mask + 2 * cls).item() for mask, cls in one]
    best = costs.index(min(costs))
    torch.testing.assert_close(torch.stack(losses), torch.stack(one[best]))
    assert all(grad.isfinite().all() for grad in gradients(losses, inputs))


def test_loss_falls_when_one_scene_is_fitted() -> None:
    inputs = scene(4, dtype=torch.float32)
    leaves = [inputs[name].requires_grad_() for name in NAMES]
    optimizer = torch.optim.Adam(leaves, lr=0.1)
    values = []
    for _ in range(25):
        loss = sum(run(inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"dice": "cubic"},
            "dice 'cubic' of .* is unknown; choose one of linear, squared",
        ),
        (
            {"mask_weight": -1},
            "mask_weight of .* must be a number of 0 or more, got -1",
        ),
        ({"alpha": 2}, "alpha of .* must be a number from 0 to 1, got 2"),
        ({"gamma": "2"}, "gamma of .* must be a number of 0 or more, got '2'"),
        (
            {"class_weight": float("nan")},
            "class_weight of .* must be a number of 0 or more, got nan",
        ),
        ({"sigmoid": 1}, "sigmoid of .* must be True or False, got 1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        AdaptiveMinimumLoss(**arguments)


def test_repr_says_the_switches() -> None:
    assert "minimum=False, centroid=True, dice='squared'" in repr(
        AdaptiveMinimumLoss(minimum=False, dice="squared")
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0, 0.1, 0.5, 1, 2])
def test_the_focal_loss_has_finite_gradients_far_out(gamma: float, dtype: torch.dtype) -> None:
    # The miss of a sure and right logit is zero, and its root has no slope there.
    ends = [-1e4, -800, -200, -100, 0, 100, 200, 800, 1e4]
    logits = torch.tensor(ends, dtype=dtype, requires_grad=True)
    for positive in (True, False):
        terms = focal_terms(logits, torch.tensor(positive), gamma)
        (grad,) = torch.autograd.grad(terms.sum(), logits)
        assert terms.isfinite().all() and grad.isfinite().all()
        # Wrong ones keep the slope of their weight.
        wrong, slope = (0, -0.25) if positive else (-1, 0.75)
        assert grad[wrong].item() == pytest.approx(slope)
