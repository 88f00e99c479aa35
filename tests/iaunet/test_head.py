import pytest
import torch
from torch import nn

from attnseg.iaunet import IAUNetHead
from attnseg.iaunet.decoder_level import LevelMaps
from tests.iaunet.factory import detector, sample


@pytest.mark.parametrize("objects", [0, 3])
@pytest.mark.parametrize("pixel_update", ["both", "instance", "none"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"variant": "code"},
        {"preset": "fast", "deep_supervision": True},
        {"layers_per_level": 2, "loss": {"type": "attnseg.MaskSetLoss", "mode": "dense"}},
    ],
    ids=lambda o: "-".join(o) or "paper",
)
def test_every_parameter_gets_a_gradient(objects, pixel_update, options):
    model = detector(pixel_update=pixel_update, **options)
    losses = model.loss(torch.randn(2, 3, 32, 64), [sample((32, 64), objects) for _ in range(2)])
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_only_trained_levels_predict():
    feats = detector().extract_feat(torch.randn(1, 3, 32, 32))
    assert len(detector().head(feats)) == 1
    deep = detector(deep_supervision=True).head(feats)
    assert [tuple(p.mask_logits.shape[2:]) for p in deep] == [(2, 2), (4, 4), (8, 8), (16, 16)]
    assert all(p.class_logits.shape == (1, 7, 3) for p in deep)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 40), (97, 131), (16, 16)])
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_any_size(size, variant):
    model = detector(variant=variant).eval()
    with torch.no_grad():
        classes, masks = model(torch.randn(1, 3, *size), mode="tensor")
    assert classes.shape == (1, 7, 3)
    assert tuple(masks.shape[2:]) == (-(-size[0] // 2), -(-size[1] // 2))


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_permuted_queries_give_the_same_set(variant):
    model = detector(variant=variant, deep_supervision=True).double().eval()
    x = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    before = model(x, mode="tensor")
    order = torch.randperm(7)
    with torch.no_grad():
        pos = model.head.query_pos
        pos.copy_(torch.cat([pos[:, order], pos[:, 7 + order]], 1))
        for level in model.head.levels:
            weight = level.activation.activate.weight
            weight.copy_(weight[order])
    after = model(x, mode="tensor")
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(old[:, order], new)


def make_symmetric(model: nn.Module) -> None:
    """Weights under which rows and columns are interchangeable.

    Convolutions equal their transpose; what sees positions treats both halves of the channels
    (rows, columns) and both coordinates alike.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.weight.copy_((module.weight + module.weight.mT) / 2)
        for level in model.head.levels:
            for conv in (level.pixels.main.body[0].depthwise_conv.conv,):
                conv.weight[1].copy_(conv.weight[0])
                conv.bias[1].copy_(conv.bias[0])
            for weight in (
                level.pixels.main.body[0].pointwise_conv.conv.weight,
                level.pixels.main.shortcut.weight,
                level.pixels.instance[0].conv.weight,
            ):
                weight[:, 1].copy_(weight[:, 0])
            for layer in level.layers:
                for attention in (*layer.pixel_attention.values(), layer.cross):
                    for linear in (attention.attend.query, attention.attend.key):
                        halves = linear.weight.unflatten(1, (2, -1))
                        linear.weight.copy_(
                            halves.mean(1, keepdim=True).expand_as(halves).flatten(1)
                        )


def test_transposed_image_gives_transposed_masks():
    model = detector(variant="code").double().eval()
    make_symmetric(model)
    x = torch.randn(1, 3, 32, 64, dtype=torch.float64)
    with torch.no_grad():
        classes, masks = model(x, mode="tensor")
        turned_classes, turned_masks = model(x.mT, mode="tensor")
    torch.testing.assert_close(classes, turned_classes)
    torch.testing.assert_close(masks.mT, turned_masks)
    assert masks.std() > 0.01


def test_activation_maps_and_attention_are_given_when_asked_for():
    model = detector().eval()
    x = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        prediction, trace = model.explain(x)
        again = model(x, mode="tensor")
    torch.testing.assert_close(prediction.mask_logits, again.mask_logits)
    assert [t.activation.shape[1] for t in trace] == [7] * 4
    assert [t.attention.shape[1] for t in trace] == [7, 14, 14, 14]
    for maps in trace:
        assert isinstance(maps, LevelMaps)
        for part in maps:
            torch.testing.assert_close(part.sum((2, 3)), torch.ones(part.shape[:2]))


def test_queries_are_means_of_the_features_under_the_activation():
    layer = detector().head.levels[3].activation
    x = torch.randn(2, 8, 5, 6)
    expected = torch.einsum("bnhw,bchw->bnc", layer.maps(x), x)
    torch.testing.assert_close(layer(x), expected)


def test_pixel_features_stay_where_no_update_is_asked_for():
    torch.manual_seed(0)
    layers = {
        name: detector(pixel_update=name).head.levels[0].layers[0]
        for name in ("both", "instance", "none")
    }
    queries, pos = torch.randn(1, 7, 8), torch.randn(1, 7, 8)
    mask, instance, pixel_pos = (torch.randn(1, 12, 8) for _ in range(3))
    for name, layer in layers.items():
        _, new_mask, new_instance = layer(queries, pos, mask, instance, pixel_pos)
        assert torch.equal(new_mask, mask) == (name != "both")
        assert torch.equal(new_instance, instance) == (name == "none")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"variant": "text"}, "variant 'text' is unknown; choose one of paper, code"),
        ({"pixel_update": "mask"}, "pixel_update 'mask' is unknown"),
        ({"preset": "slow"}, "preset 'slow' is unknown; choose one of full, fast"),
        ({"in_channels": (4, 8, 8)}, "in_channels must have 4 numbers"),
        ({"widths": (4, 8)}, "widths must have 4 numbers"),
        ({"num_queries": 0}, "num_queries must be a whole number, at least 1, got 0"),
        ({"num_queries": 2.5}, "num_queries must be a whole number, at least 1, got 2.5"),
        ({"num_queries": "5"}, "num_queries must be a whole number, at least 1, got '5'"),
        ({"num_classes": None}, "num_classes must be a whole number"),
        ({"layers_per_level": 0}, "layers_per_level must be a whole number"),
        ({"in_channels": 4}, "in_channels must have 4 numbers, one a level, got 4"),
        ({"widths": (4, 8, 8, 0.5)}, "each of widths must be a whole number"),
        ({"query_ratio": 0}, "query_ratio must be a number of at least 1/channels, got 0"),
        ({"query_ratio": None}, "query_ratio must be a number"),
    ],
)
def test_wrong_arguments(option, message):
    with pytest.raises(ValueError, match=message):
        IAUNetHead(**{"in_channels": (4, 8, 8, 12), "channels": 8, "num_heads": 2, **option})


def test_maps_that_do_not_fit_the_head_are_named():
    model = detector(in_channels=(4, 8, 16, 12))
    with pytest.raises(
        ValueError, match=r"in_channels=\(4, 8, 16, 12\).*backbone, which have \(4, 8, 8, 12\)"
    ):
        model(torch.randn(1, 3, 32, 32), mode="tensor")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_finite_under_autocast(dtype):
    model = detector(deep_supervision=True)
    with torch.autocast("cpu", dtype=dtype):
        losses = model.loss(torch.randn(2, 3, 64, 64), [sample((64, 64), n) for n in (0, 4)])
    assert all(v.isfinite() and v.dtype == torch.float32 for v in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_more_objects_than_queries_train_and_are_said_once(monkeypatch):
    said = []
    monkeypatch.setattr("attnseg.iaunet.head.print_log", lambda text, *rest: said.append(text))
    model = detector()
    for _ in range(2):
        losses = model.loss(torch.randn(1, 3, 64, 64), [sample((64, 64), 9)])
    assert all(v.isfinite() for v in losses.values())
    assert len(said) == 1
    assert "'x.png' has 9 objects, the head 7 queries" in said[0]


def test_masks_that_were_not_padded_are_refused():
    model = detector()
    short = sample((32, 40), 2)
    short.set_metainfo({"batch_input_shape": (32, 64)})
    with pytest.raises(ValueError, match="pad_mask=True"):
        model.loss(torch.randn(1, 3, 32, 64), [short])


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_computing_again_changes_nothing_but_the_memory(variant):
    results = []
    for with_cp in (False, True):
        model = detector(variant=variant, with_cp=with_cp, deep_supervision=True).double()
        torch.manual_seed(1)
        x = torch.randn(2, 3, 32, 64, dtype=torch.float64)
        sum(model.loss(x, [sample((32, 64), n) for n in (0, 3)]).values()).backward()
        results.append((dict(model.named_parameters()), dict(model.named_buffers())))
    for name, one in results[0][0].items():
        torch.testing.assert_close(one.grad, results[1][0][name].grad, msg=name)
    for name, one in results[0][1].items():
        if "num_batches" not in name:
            torch.testing.assert_close(one, results[1][1][name], msg=name)
