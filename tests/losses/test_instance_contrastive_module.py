"""The registered module: images kept apart, ignored pixels, sampling, foreign heads."""

import importlib
import math

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch import Tensor
from torch.nn.functional import normalize

from attnseg.losses import InstanceContrastiveLoss, instance_contrastive
from attnseg.losses.contrastive import sample_pixels


def batch(b: int = 2, d: int = 4, size: int = 12, ids: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = normalize(torch.randn(b, d, size, size, generator=generator), dim=1)
    return x, torch.randint(-1, ids, (b, size, size), generator=generator)


def test_mean_of_the_images_each_on_its_own() -> None:
    x, ids = batch()
    wanted = []
    for image, map_ in zip(x, ids, strict=True):
        pixels = [(r, c) for r in range(12) for c in range(12) if map_[r, c] >= 0]
        vectors = torch.stack([image[:, r, c] for r, c in pixels])
        names = torch.stack([map_[r, c] for r, c in pixels])
        wanted.append(instance_contrastive(vectors, names, 0.2))
    loss = InstanceContrastiveLoss(temperature=0.2, loss_weight=0.25)(x, ids)
    torch.testing.assert_close(loss, 0.25 * torch.stack(wanted).mean())


def test_images_without_anchors_do_not_count() -> None:
    x, ids = batch(b=3)
    ids[1] = -1
    ids[2] = -1
    ids[2, 0, 0] = 4
    loss = InstanceContrastiveLoss()
    torch.testing.assert_close(loss(x, ids), loss(x[:1], ids[:1]))


@pytest.mark.parametrize("sampling", [None, {}])
@pytest.mark.parametrize("labelled", [0, 1], ids=["nothing", "one pixel"])
def test_batch_without_pairs_is_zero_and_connected(labelled: int, sampling: dict | None) -> None:
    x, ids = batch()
    ids[:] = -1
    ids.view(-1)[:labelled] = 2
    x.requires_grad_()
    loss = InstanceContrastiveLoss(sampling=sampling)(x, ids)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("sampling", [None, {}])
def test_only_one_instance_has_its_known_value(sampling: dict | None) -> None:
    # Equal embeddings: D = (n - 1) e^(1/tau), so the loss is log(n - 1).
    x = torch.zeros(1, 4, 6, 5)
    x[:, 2] = 1
    loss = InstanceContrastiveLoss(sampling=sampling, loss_weight=1.0)
    assert loss(x, torch.zeros(1, 6, 5, dtype=torch.int64)).item() == pytest.approx(
        math.log(29), rel=1e-6
    )


@pytest.mark.parametrize("sampling", [None, {}])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("empty", [False, True])
def test_finite_in_half_precision(dtype: torch.dtype, sampling: dict | None, empty: bool) -> None:
    x, ids = batch()
    x = (1000 * x).to(dtype).requires_grad_()
    loss = InstanceContrastiveLoss(sampling=sampling, temperature=0.05)(
        x, torch.full_like(ids, -1) if empty else ids
    )
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("sampling", [None, dict(pixels_per_instance=16, max_instances=3)])
def test_falls_when_one_image_is_fitted(sampling: dict | None) -> None:
    torch.manual_seed(0)
    ids = torch.full((1, 16, 16), -1)
    ids[0, :6, :6], ids[0, 8:, :5], ids[0, 3:12, 8:] = 0, 1, 2
    raw = torch.randn(1, 8, 16, 16, requires_grad=True)
    loss = InstanceContrastiveLoss(sampling=sampling, normalize=True)
    optimizer = torch.optim.Adam([raw], lr=0.1)
    values = []
    for _ in range(150):
        optimizer.zero_grad()
        value = loss(raw, ids)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.7 * values[0]
    means = torch.stack([normalize(raw, dim=1)[0][:, ids[0] == k].mean(1) for k in range(3)])
    cosine = normalize(means, dim=1) @ normalize(means, dim=1).T
    assert means.norm(dim=1).min() > 0.9
    assert cosine.fill_diagonal_(0).max() < 0.3


def test_sampling_a_whole_image_is_the_exact_loss() -> None:
    x, ids = batch()
    sampling = dict(pixels_per_instance=1000, max_instances=1000)
    torch.testing.assert_close(
        InstanceContrastiveLoss(sampling=sampling)(x, ids), InstanceContrastiveLoss()(x, ids)
    )


def test_sampling_follows_the_seed() -> None:
    x, ids = batch(size=40)
    loss = InstanceContrastiveLoss(sampling=dict(pixels_per_instance=8))
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values.append(loss(x, ids).item())
    assert values[0] == values[1] != values[2]


def test_sample_has_the_promised_size_and_is_uniform() -> None:
    torch.manual_seed(0)
    counts = torch.tensor([50, 1, 20, 3, 1])
    group = torch.repeat_interleave(torch.arange(5), counts)[torch.randperm(75)]
    hits = torch.zeros(75)
    for _ in range(400):
        chosen = sample_pixels(group, counts, pixels_per_instance=5, max_instances=4)
        assert len(chosen.unique()) == len(chosen)
        per_instance = torch.bincount(group[chosen], minlength=5)
        assert per_instance[[0, 2, 3]].tolist() == [5, 5, 3]
        assert per_instance[[1, 4]].sum() == 1
        hits[chosen] += 1
    # Each of 50 pixels is drawn with probability 1/10: 40 of 400, sd 6.
    assert (hits[group == 0] - 40).abs().max() < 24
    assert (hits[group == 1] - 200).abs().max() < 40


def test_single_pixels_are_drawn_last() -> None:
    counts = torch.tensor([1, 1, 1, 2])
    group = torch.repeat_interleave(torch.arange(4), counts)
    assert sample_pixels(group, counts, 32, max_instances=1).sort().values.tolist() == [3, 4]


def test_weight_and_ignore_index_leave_pixels_out() -> None:
    x, ids = batch()
    loss = InstanceContrastiveLoss()
    wanted = loss(x, torch.where(ids == 3, -1, ids))
    torch.testing.assert_close(loss(x, ids, ignore_index=3), wanted)
    torch.testing.assert_close(loss(x, ids, weight=(ids != 3).float()), wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, ids: dict(instance_map=ids[:, :6, :6]), r"\(2, 12, 12\), got \(2, 6, 6\)"),
        (lambda x, ids: dict(instance_map=ids[:, None]), "resize one of them"),
        (lambda x, ids: dict(instance_map=ids, weight=torch.full((2, 12, 12), 0.5)), "zeros and"),
        (lambda x, ids: dict(instance_map=ids, weight=torch.ones(2, 1)), r"shape \(2, 1\)"),
    ],
)
def test_bad_input(call, message: str) -> None:
    x, ids = batch()
    with pytest.raises(ValueError, match=message):
        InstanceContrastiveLoss()(x, **call(x, ids))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(temperature=-1), "temperature"),
        (dict(sampling=dict(pixels=3)), r"unknown keys \['pixels'\].*max_instances"),
        (dict(sampling=dict(pixels_per_instance=1)), "partner"),
    ],
)
def test_bad_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InstanceContrastiveLoss(**arguments)


@pytest.mark.parametrize("library", ["mmseg", "mmdet"])
def test_built_by_foreign_registries(library: str) -> None:
    registry = importlib.import_module(f"{library}.registry").MODELS
    loss = registry.build(dict(type="attnseg.InstanceContrastiveLoss", sampling={}))
    assert isinstance(loss, InstanceContrastiveLoss)
    assert loss.sampling == dict(pixels_per_instance=32, max_instances=64)


@pytest.mark.parametrize("sampler", [None, dict(type="OHEMPixelSampler", thresh=0.7, min_kept=50)])
def test_inside_a_head_of_mmseg(sampler: dict | None) -> None:
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    init_default_scope("mmseg")
    head = MODELS.build(
        dict(
            type="FCNHead",
            in_channels=6,
            channels=8,
            num_convs=1,
            num_classes=4,
            sampler=sampler,
            loss_decode=[
                dict(type="CrossEntropyLoss"),
                dict(type="attnseg.InstanceContrastiveLoss", normalize=True, sampling={}),
            ],
        )
    )
    label = torch.randint(0, 4, (1, 16, 16))
    label[:, :4] = 255
    sample = SegDataSample(gt_sem_seg=PixelData(data=label))
    features = torch.randn(1, 6, 8, 8, requires_grad=True)
    losses = head.loss((features,), [sample], {})
    contrastive = losses["loss_instance_contrastive"]
    contrastive.backward()
    assert contrastive > 0
    assert losses["loss_ce"] > 0
    assert features.grad.abs().sum() > 0
