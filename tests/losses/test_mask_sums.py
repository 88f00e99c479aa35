"""Sums over soft masks against the masks written out."""

import pytest
import torch

from attnseg.losses import mask_sums, soft_mask_sums


@pytest.mark.parametrize("squares", [True, False])
@pytest.mark.parametrize(("cells", "objects"), [(3, 2), (0, 2), (2, 0)])
def test_sums_are_those_of_the_masks(cells: int, objects: int, squares: bool) -> None:
    torch.manual_seed(0)
    kernels = torch.randn(cells, 4).double().requires_grad_()
    features = torch.randn(4, 5, 7).double().requires_grad_()
    targets = (torch.rand(objects, 5, 7) < 0.5).to(torch.uint8)
    masks = torch.einsum("pe,ehw->phw", kernels, features).sigmoid()
    x = ((torch.arange(7) + 0.5) / 7).double().expand(5, 7)
    y = ((torch.arange(5) + 0.5) / 5).double()[:, None].expand(5, 7)
    true = targets.double()

    expected = torch.cat(
        [
            torch.einsum("phw,ohw->po", masks, true),
            torch.stack(
                [(masks * weight).sum((1, 2)) for weight in (torch.ones(5, 7), x, y)]
                + [masks.square().sum((1, 2)) * squares],
                1,
            ),
        ],
        1,
    )
    moments = torch.stack([(true * w).sum((1, 2)) for w in (torch.ones(5, 7), x, y)], 1)
    sums, truth = soft_mask_sums(kernels, features, targets, squares)
    torch.testing.assert_close(sums, expected)
    torch.testing.assert_close(truth, moments)
    weight = torch.randn_like(sums)
    for a, b in zip(
        torch.autograd.grad((sums * weight).sum(), [kernels, features]),
        torch.autograd.grad((expected * weight).sum(), [kernels, features]),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_chunks_do_not_change_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    kernels, features = torch.randn(3, 4).double(), torch.randn(4, 13, 17).double()
    targets = torch.rand(2, 13, 17) < 0.5
    monkeypatch.setattr(mask_sums, "_CHUNK", {"cpu": 1})
    found = []
    for size in (64, 7, 500):
        monkeypatch.setattr(mask_sums, "_LEAST", size)
        leaves = [kernels.clone().requires_grad_(), features.clone().requires_grad_()]
        sums, truth = soft_mask_sums(*leaves, targets, squares=True)
        assert not truth.requires_grad
        found.append([sums, truth, *torch.autograd.grad(sums.square().sum(), leaves)])
    for one in found[1:]:
        for a, b in zip(found[0], one, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("squares", [True, False])
def test_sums_pass_gradcheck(squares: bool) -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(2, 3).double(), torch.randn(3, 3, 4).double()]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    targets = torch.rand(2, 3, 4) < 0.5
    assert torch.autograd.gradcheck(lambda k, f: soft_mask_sums(k, f, targets, squares)[0], leaves)


@pytest.mark.parametrize("form", ["transposed", "channels last"])
def test_the_gradient_does_not_depend_on_strides(form: str) -> None:
    torch.manual_seed(0)
    kernels, plain = torch.randn(3, 4).double(), torch.randn(4, 6, 9).double()
    targets = torch.rand(2, 6, 9) < 0.5
    if form == "transposed":
        strided = plain.transpose(1, 2).contiguous().transpose(1, 2)
    else:
        strided = plain[None].contiguous(memory_format=torch.channels_last)[0]
    assert strided.stride() != plain.stride()
    grads = []
    for map_ in (plain, strided):
        leaves = [kernels.clone().requires_grad_(), map_.detach().requires_grad_()]
        sums = soft_mask_sums(*leaves, targets, squares=True)[0]
        grads.append(torch.autograd.grad(sums.square().sum(), leaves))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    kernels, features = torch.randn(3, 4), torch.randn(4, 6, 9)
    targets = torch.rand(2, 6, 9) < 0.5
    found = []
    for enabled in (False, True):
        leaves = [kernels.clone().requires_grad_(), features.clone().requires_grad_()]
        with torch.autocast("cpu", dtype, enabled=enabled):
            sums, truth = soft_mask_sums(*leaves, targets, squares=True)
            grads = torch.autograd.grad(sums.square().sum(), leaves)
        found.append((sums, truth, *grads))
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
