"""The set loss: dense formulas, points against pixels, no objects, many ranks, a small fit."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch import Tensor
from torch.autograd import gradcheck

from attnseg.iaunet import mask_set_loss
from attnseg.iaunet.mask_set_loss import MaskSetLoss
from attnseg.iaunet.structures import MaskPrediction, MaskTruth
from attnseg.registry import MODELS

MODES = ["points", "dense"]
DENSE_MATCHER = dict(type="attnseg.HungarianMaskMatcher", mode="dense")
KEYS = ("loss_cls", "loss_dice", "loss_mask")


def make_truth(counts: list[int], size: tuple[int, int] = (20, 28), seed: int = 0) -> list:
    generator = torch.Generator().manual_seed(seed)
    return [
        MaskTruth(
            torch.randint(0, 2, (m,), generator=generator),
            torch.rand(m, *size, generator=generator) > 0.6,
        )
        for m in counts
    ]


def make_prediction(
    b: int, n: int = 6, size: tuple[int, int] = (5, 7), dtype: torch.dtype = torch.float32
) -> MaskPrediction:
    generator = torch.Generator().manual_seed(7)
    classes = torch.randn(b, n, 3, generator=generator, dtype=dtype)
    masks = 2 * torch.randn(b, n, *size, generator=generator, dtype=dtype)
    return MaskPrediction(classes.requires_grad_(), masks.requires_grad_())


def make_loss(mode: str = "dense", **options) -> MaskSetLoss:
    return MaskSetLoss(num_classes=2, mode=mode, num_points=64, **options)


def total(losses: dict[str, Tensor]) -> Tensor:
    return sum(losses.values())


def by_definition(prediction: MaskPrediction, truth: list, matcher) -> dict[str, Tensor]:
    """Weighted losses of the dense mode from formulas, query by query."""
    log_p = prediction.class_logits.log_softmax(-1)
    classes, weights, dice, bce = 0.0, 0.0, 0.0, 0.0
    for i, objects in enumerate(truth):
        queries, rows = matcher(*(p[i] for p in prediction), objects)
        of_query = dict(zip(queries.tolist(), rows.tolist(), strict=True))
        for query in range(log_p.shape[1]):
            target = int(objects.labels[of_query[query]]) if query in of_query else 2
            weight = 1.0 if query in of_query else 0.1
            classes, weights = classes - weight * log_p[i, query, target], weights + weight
        for query, j in of_query.items():
            t = objects.masks[j].to(log_p.dtype)
            x = prediction.mask_logits[i, query][None, None]
            p = F.interpolate(x, t.shape, mode="bilinear")[0, 0].sigmoid()
            dice += 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
            bce -= (t * p.log() + (1 - t) * (1 - p).log()).mean()
    num_masks = max(1, sum(len(t.labels) for t in truth))
    values = (classes / weights, 2 * dice / num_masks, 5 * bce / num_masks)
    return dict(zip(KEYS, values, strict=True))


@pytest.mark.parametrize("counts", [[3, 1], [2, 0], [9, 2]], ids=["some", "none", "too many"])
def test_dense_losses_follow_their_definition(counts: list[int]) -> None:
    truth, prediction, loss = make_truth(counts), make_prediction(2), make_loss()
    got = loss([prediction], truth)
    assert tuple(got) == KEYS
    wanted = by_definition(prediction, truth, loss.matcher)
    for key in KEYS:
        torch.testing.assert_close(got[key], wanted[key])


def test_weights_scale_their_losses() -> None:
    truth, prediction = make_truth([3]), make_prediction(1)
    plain = make_loss(matcher=DENSE_MATCHER)([prediction], truth)
    scaled = make_loss(class_weight=3.0, dice_weight=1.0, mask_weight=2.5, matcher=DENSE_MATCHER)
    for key, factor in zip(KEYS, (3, 0.5, 0.5), strict=True):
        torch.testing.assert_close(scaled([prediction], truth)[key], factor * plain[key])


def test_the_matcher_follows_the_loss_unless_given() -> None:
    loss = MaskSetLoss(2, class_weight=3, dice_weight=4, mask_weight=6, mode="dense", num_points=7)
    assert vars(loss.matcher) == dict(
        class_weight=3, dice_weight=4, mask_weight=6, mode="dense", num_points=7
    )


@pytest.mark.parametrize("mode", MODES)
def test_earlier_levels_are_matched_and_named_on_their_own(mode: str) -> None:
    truth, last = make_truth([3, 2]), make_prediction(2)
    first = MaskPrediction(last.class_logits.flip(1), last.mask_logits.flip(1)[..., :4])
    losses = make_loss(mode)([first, first, last], truth)
    assert tuple(losses) == (*(f"d0.{k}" for k in KEYS), *(f"d1.{k}" for k in KEYS), *KEYS)
    if mode == "dense":
        for prefix, prediction in (("d1.", first), ("", last)):
            for key, value in make_loss(mode)([prediction], truth).items():
                torch.testing.assert_close(losses[prefix + key], value)


def test_points_at_all_pixel_centres_are_the_dense_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = make_truth([3, 2], size=(10, 14))
    y, x = torch.meshgrid(torch.arange(10) + 0.5, torch.arange(14) + 0.5, indexing="ij")
    pixels = torch.stack([x / 14, y / 10], dim=-1).view(-1, 2).double()
    monkeypatch.setattr(
        mask_set_loss, "uncertain_points", lambda x, *_: pixels.expand(len(x), -1, -1)
    )
    results = []
    for mode in MODES:
        prediction = make_prediction(2, dtype=torch.float64)
        losses = make_loss(mode, matcher=DENSE_MATCHER)([prediction], truth)
        total(losses).backward()
        results.append((losses, prediction.mask_logits.grad))
    for key in KEYS:
        torch.testing.assert_close(results[0][0][key], results[1][0][key])
    torch.testing.assert_close(results[0][1], results[1][1])


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, prediction = make_truth([5]), make_prediction(1, dtype=torch.float64)
    whole = total(make_loss()([prediction], truth))
    wanted = torch.autograd.grad(whole, prediction)
    monkeypatch.setattr(mask_set_loss, "_PIXELS_AT_ONCE", 1)
    parts = total(make_loss()([prediction], truth))
    torch.testing.assert_close(parts, whole)
    for mine, other in zip(torch.autograd.grad(parts, prediction), wanted, strict=True):
        torch.testing.assert_close(mine, other)
    monkeypatch.setattr(mask_set_loss, "_MASKS_AT_ONCE", 2)
    assert total(make_loss("points")([prediction], truth)).isfinite()


def test_order_of_queries_does_not_matter() -> None:
    truth, prediction = make_truth([4, 2]), make_prediction(2)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    shuffled = MaskPrediction(*(p[:, order] for p in prediction))
    first, second = make_loss()([prediction], truth), make_loss()([shuffled], truth)
    for key in KEYS:
        torch.testing.assert_close(first[key], second[key], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode: str) -> None:
    truth = make_truth([2, 0], size=(4, 6))
    classes, masks = make_prediction(2, n=3, size=(2, 3), dtype=torch.float64)
    # A fixed set of points: where they lie depends on the logits, but not differentiably.
    loss = make_loss(mode, importance_ratio=0.0)

    def value(*tensors: Tensor) -> Tensor:
        torch.manual_seed(0)
        return total(loss([MaskPrediction(*tensors)], truth))

    assert gradcheck(value, (classes, masks))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("counts", [[0, 0], [0, 3]], ids=["all", "one"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_empty_truth_is_finite_and_connected(
    mode: str, counts: list[int], dtype: torch.dtype
) -> None:
    prediction = make_prediction(2, dtype=dtype)
    prediction.mask_logits.data *= 10_000
    losses = make_loss(mode)([prediction], make_truth(counts))
    total(losses).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in prediction)
    assert prediction.class_logits.grad.abs().sum() > 0
    if not any(counts):
        assert losses["loss_dice"] == losses["loss_mask"] == 0
        assert not prediction.mask_logits.grad.any()


def test_nothing_to_weigh_gives_no_division_by_zero() -> None:
    prediction = make_prediction(1)
    losses = make_loss(no_object_weight=0.0)([prediction], make_truth([0]))
    total(losses).backward()
    assert total(losses) == 0
    assert not prediction.class_logits.grad.any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_under_autocast(mode: str, dtype: torch.dtype) -> None:
    prediction, truth = make_prediction(2, dtype=dtype), make_truth([3, 2])
    results = []
    for given in (prediction, MaskPrediction(*(p.float() for p in prediction))):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=given is prediction):
            results.append(make_loss(mode)([given], truth))
    for key in KEYS:
        assert results[0][key].dtype == torch.float32
        torch.testing.assert_close(results[0][key], results[1][key])
    total(results[0]).backward()
    assert all(p.grad.isfinite().all() for p in prediction)


@pytest.mark.parametrize("mode", MODES)
def test_a_diverged_model_gives_a_loss_that_is_not_finite(mode: str) -> None:
    prediction = make_prediction(1)
    prediction.mask_logits.data.fill_(float("nan"))
    losses = make_loss(mode)([prediction], make_truth([3]))
    assert losses["loss_cls"].isfinite()
    assert losses["loss_dice"].isnan()
    assert losses["loss_mask"].isnan()


@pytest.mark.parametrize("counts", [[4], [0]], ids=["objects", "no objects"])
def test_objects_are_averaged_over_ranks(
    counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, prediction, calls = make_truth(counts), make_prediction(1), []

    def mean_with_another_rank(tensor: Tensor) -> Tensor:
        calls.append(tensor.tolist())
        return (tensor + 12) / 2

    alone = make_loss()([prediction, prediction], truth)
    monkeypatch.setattr(mask_set_loss, "reduce_mean", mean_with_another_rank)
    together = make_loss()([prediction, prediction], truth)
    assert calls == [counts]
    for key in ("loss_dice", "d0.loss_mask"):
        torch.testing.assert_close(together[key], alone[key] * 4 / 8)


def test_a_seed_repeats_the_loss() -> None:
    truth, prediction, loss = make_truth([4, 2]), make_prediction(2), make_loss("points")
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(total(loss([prediction], truth)).item())
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("mode", MODES)
def test_logits_of_masks_can_be_fitted(mode: str) -> None:
    masks = torch.zeros(3, 32, 48, dtype=torch.uint8)
    masks[0, 2:14, 4:20] = 1
    masks[1, 8:30, 24:44] = 1
    masks[2, 18:28, 2:16] = 1
    truth = [MaskTruth(torch.tensor([0, 1, 0]), masks)]
    torch.manual_seed(0)
    prediction = MaskPrediction(
        torch.zeros(1, 5, 3, requires_grad=True), torch.randn(1, 5, 16, 24).requires_grad_()
    )
    loss = MaskSetLoss(2, mode=mode, num_points=400)
    optimizer = torch.optim.Adam(prediction, lr=0.3)
    for _ in range(80):
        optimizer.zero_grad()
        total(loss([prediction], truth)).backward()
        optimizer.step()
    queries, objects = loss.matcher(*(p[0].detach() for p in prediction), truth[0])
    assert prediction.class_logits[0, queries].argmax(-1).tolist() == [
        truth[0].labels[j] for j in objects
    ]
    enlarged = F.interpolate(prediction.mask_logits.detach(), (32, 48), mode="bilinear")
    found, wanted = enlarged[0, queries] > 0, masks[objects].bool()
    iou = (found & wanted).sum((1, 2)) / (found | wanted).sum((1, 2))
    assert iou.min() > 0.95


def test_bad_input_is_named() -> None:
    loss, prediction = make_loss(), make_prediction(1)
    (truth,) = make_truth([2])
    with pytest.raises(ValueError, match="labels go from -1 to 2, but num_classes=2 allows 0 to 1"):
        loss([prediction], [truth._replace(labels=torch.tensor([-1, 2]))])
    with pytest.raises(ValueError, match="image 0 of the batch has 1 labels and masks"):
        loss([prediction], [truth._replace(labels=truth.labels[:1])])
    with pytest.raises(ValueError, match="2 images and num_classes=2 need class logits"):
        loss([prediction], [truth, truth])
    with pytest.raises(ValueError, match="at least one prediction"):
        loss([], [truth])


@pytest.mark.parametrize(
    "options",
    [
        dict(num_classes=0),
        dict(mode="sparse"),
        dict(num_points=0),
        dict(oversample_ratio=0.5),
        dict(importance_ratio=1.5),
    ],
)
def test_settings_are_checked(options: dict) -> None:
    with pytest.raises(ValueError, match=f"MaskSetLoss: .*{next(iter(options))} must be"):
        MaskSetLoss(**{"num_classes": 2, **options})


def test_configs_find_it_and_checkpoints_do_not() -> None:
    init_default_scope("mmdet")
    loss = MODELS.build(dict(type="attnseg.MaskSetLoss", num_classes=2, mode="dense"))
    assert isinstance(loss, MaskSetLoss)
    assert not loss.state_dict()
