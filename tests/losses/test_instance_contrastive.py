"""The pure loss against Eq. 4 to 6 written out, pair by pair and as a full matrix."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from attnseg.losses import instance_contrastive, pairwise_logsumexp


def by_pairs(embedding: list[list[float]], instance: list[int], temperature: float) -> float:
    """Eq. 4 to 6 as written: loops over pixels, partners and normaliser terms."""
    n = len(instance)

    def score(i: int, j: int) -> float:
        return sum(a * b for a, b in zip(embedding[i], embedding[j], strict=True)) / temperature

    per_pixel = []
    for i in range(n):
        positives = [k for k in range(n) if k != i and instance[k] == instance[i]]
        if not positives:
            continue
        d = sum(math.exp(score(i, j)) for j in range(n) if j != i)
        pairs = [-math.log(math.exp(score(i, k)) / d) for k in positives]
        per_pixel.append(sum(pairs) / len(pairs))
    return sum(per_pixel) / len(per_pixel)


def dense(embedding: Tensor, instance: Tensor, temperature: float) -> Tensor:
    """Full matrix form, differentiated by autograd."""
    scores = embedding @ embedding.T / temperature
    itself = torch.eye(len(instance), dtype=torch.bool)
    same = (instance[:, None] == instance[None]) & ~itself
    log_d = scores.masked_fill(itself, -torch.inf).logsumexp(1)
    n_positive = same.sum(1)
    pull = torch.where(same, scores, 0).sum(1) / n_positive.clamp(min=1)
    return (log_d - pull)[n_positive > 0].mean()


def cloud(n: int, d: int, instances: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1)
    return x, torch.randint(instances, (n,), generator=generator)


def test_equals_the_formula_written_as_loops() -> None:
    x, ids = cloud(n=9, d=3, instances=3)
    ids[0] = 77  # a pixel that is alone in its instance: a negative of others, no anchor
    expected = by_pairs(x.tolist(), ids.tolist(), temperature=0.2)
    assert float(instance_contrastive(x, ids, 0.2)) == pytest.approx(expected, rel=1e-12)


def test_value_computed_by_hand() -> None:
    # Pixels 0 and 1 agree and are one instance, pixel 2 is orthogonal and alone:
    # both anchors have D = e^(1/tau) + e^0, hence the loss log(1 + e^(-1/tau)).
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    loss = instance_contrastive(x, torch.tensor([5, 5, 9]), temperature=0.5)
    assert float(loss) == pytest.approx(math.log1p(math.exp(-2)), rel=1e-12)


@pytest.mark.parametrize("block_size", [1, 7, 64, None])
@pytest.mark.parametrize("scale", [1.0, 100.0], ids=["bounded", "running maximum"])
def test_value_and_gradient_equal_the_dense_form(block_size: int | None, scale: float) -> None:
    x, ids = cloud(n=150, d=5, instances=12)
    ids[:3] = torch.tensor([50, 51, 52])
    ours, theirs = (x.mul(scale).requires_grad_() for _ in range(2))
    loss, expected = instance_contrastive(ours, ids, 0.1, block_size), dense(theirs, ids, 0.1)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    (gradient,), (wanted,) = torch.autograd.grad(loss, ours), torch.autograd.grad(expected, theirs)
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["bounded", "running maximum"])
@pytest.mark.parametrize(
    "ids",
    [[0, 0, 1, 1, 1, 2], [4, 4, 4, 4, 4, 4], [0, 1, 2, 3, 3, 4]],
    ids=["several", "one instance", "mostly single pixels"],
)
def test_gradcheck(ids: list[int], scale: float) -> None:
    x, _ = cloud(n=6, d=3, instances=1)
    x[3] = x[4]  # duplicated pixels
    x = (scale * x).requires_grad_()
    instance = torch.tensor(ids)
    for block_size in (2, None):
        assert torch.autograd.gradcheck(
            lambda e, b=block_size: instance_contrastive(e, instance, 0.3, b), (x,)
        )


@pytest.mark.parametrize("ids", [[], [3], [1, 2, 3]], ids=["empty", "one pixel", "all alone"])
def test_without_partners_zero_and_connected(ids: list[int]) -> None:
    x = torch.randn(len(ids), 4, requires_grad=True)
    loss = instance_contrastive(x, torch.tensor(ids, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, scale: float) -> None:
    x, ids = cloud(n=300, d=16, instances=7)
    x = x.mul(scale).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = instance_contrastive(x, ids, 0.07)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), dense(x.detach().double(), ids, 0.07))
    assert x.grad.dtype == dtype
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [1e-4, 0.01, 0.0165, 0.0175, 10.0])
def test_float32_at_any_temperature(temperature: float) -> None:
    x, ids = cloud(n=200, d=8, instances=9)
    single = x.float().requires_grad_()
    double = single.detach().double().requires_grad_()
    loss, expected = (
        instance_contrastive(single, ids, temperature),
        dense(double, ids, temperature),
    )
    torch.testing.assert_close(loss.double(), expected, rtol=2e-5, atol=1e-5)
    loss.backward()
    expected.backward()
    error = (single.grad - double.grad).abs().max() / double.grad.abs().max()
    # Scores reach 1/tau, so that their float32 rounding grows with it.
    assert error < max(5e-5, 2e-7 / temperature)


def test_vectors_of_very_different_length() -> None:
    # exp() of the longest overflows, exp() of the shortest against it underflows.
    x, ids = cloud(n=40, d=4, instances=4)
    x = x * torch.logspace(-6, 4, 40, dtype=torch.float64)[:, None]
    torch.testing.assert_close(instance_contrastive(x, ids, 0.1), dense(x, ids, 0.1))
    assert instance_contrastive(x.float(), ids, 0.1).isfinite()


def test_nan_is_passed_on() -> None:
    x, ids = cloud(n=20, d=4, instances=2)
    x[3, 1] = torch.nan
    assert instance_contrastive(x, ids).isnan()


def test_ids_are_only_names() -> None:
    x, ids = cloud(n=60, d=4, instances=5)
    renamed = torch.tensor([-3, 10**12, 7, 256, 0])[ids]
    assert instance_contrastive(x, ids) == instance_contrastive(x, renamed)


class LargestOutput(TorchDispatchMode):
    """Remembers the most elements that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("scale", [1.0, 1000.0], ids=["bounded", "running maximum"])
def test_no_tensor_of_all_pairs(scale: float) -> None:
    x, ids = cloud(n=3000, d=4, instances=5)
    x = (scale * x).requires_grad_()
    with LargestOutput() as seen:
        instance_contrastive(x, ids, block_size=64).backward()
    assert seen.elements < 3000**2 / 50


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(embedding=torch.zeros(3)), ValueError, r"\(N, D\)"),
        (dict(instance=torch.zeros(4, dtype=torch.int64)), ValueError, r"\(4,\)"),
        (dict(instance=torch.zeros(3)), TypeError, "ids must be integers"),
        (dict(embedding=torch.zeros(3, 2, dtype=torch.int64)), TypeError, "floating point"),
        (dict(temperature=0.0), ValueError, "temperature"),
        (dict(block_size=0), ValueError, "block_size"),
    ],
)
def test_bad_arguments(change: dict, error: type[Exception], message: str) -> None:
    good = dict(embedding=torch.zeros(3, 2), instance=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(error, match=message):
        instance_contrastive(**{**good, **change})


@pytest.mark.parametrize(
    ("x", "error"), [(torch.zeros(1, 2), ValueError), (torch.zeros(2, 2).half(), TypeError)]
)
def test_logsumexp_refuses(x: Tensor, error: type[Exception]) -> None:
    with pytest.raises(error, match="pairwise_logsumexp needs"):
        pairwise_logsumexp(x)
