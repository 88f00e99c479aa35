"""Training with simulated corrections."""

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from attnseg.mask_refine import InteractiveRefinementModel, interactive
from attnseg.mask_refine.correction_strokes import Correction
from attnseg.registry import MODELS

CHANNELS = ("coarse", "distance", "rgb", "add", "remove")


def make_model(max_rounds=3, **kwargs):
    return MODELS.build(
        {
            "type": "attnseg.InteractiveRefinementModel",
            "max_rounds": max_rounds,
            **kwargs,
            "network": {
                "type": "attnseg.StrokeUNet",
                "in_channels": 7,
                "widths": (8, 16),
                "num_heads": 2,
                "silent_channels": 2,
            },
            "losses": [{"type": "attnseg.MaskBCELoss"}],
            "data_preprocessor": {"type": "attnseg.RefinementPreprocessor", "channels": CHANNELS},
        }
    )


def make_batch(model, sizes=((32, 40), (24, 24)), empty=False):
    rng = np.random.default_rng(0)
    images, samples = [], []
    for height, width in sizes:
        images.append(torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8)))
        target = torch.zeros(height, width, dtype=torch.bool)
        if not empty:
            target[4:20, 6:20] = True
        coarse = torch.zeros_like(target)
        coarse[8:14, 8:14] = True
        samples.append(BaseDataElement(coarse=coarse, target=target))
    return model.data_preprocessor({"inputs": images, "data_samples": samples})


def channel(features, name):
    at = {"coarse": 0, "distance": 1, "add": 5, "remove": 6}[name]
    return features[:, at] > 0


def test_strokes_reach_the_network_as_the_user_painted_them():
    torch.manual_seed(0)
    model = make_model()
    batch = make_batch(model)
    given = batch["inputs"]["features"].clone()
    inputs = model.corrected(batch["inputs"], batch["data_samples"], 3)
    features = inputs["features"]
    truth = torch.zeros(2, 32, 40, dtype=torch.bool)
    truth[:, 4:20, 6:20] = True
    add, remove = channel(features, "add"), channel(features, "remove")
    assert (add | remove).flatten(1).any(1).all()
    assert not (add & remove).any()
    # Strokes lie on errors: within the object what is added, outside what is removed.
    assert not (add & ~truth).any() and not (remove & truth).any()
    # The padding of the smaller sample stays empty.
    assert not features[1, :, 24:].any() and not features[1, :, :, 24:].any()
    coarse = channel(features, "coarse")
    assert coarse[add].all() and not coarse[remove].any()
    # The image stays as it is, and so does what was given.
    assert torch.equal(features[:, 2:5], given[:, 2:5])
    assert torch.equal(batch["inputs"]["features"], given)


def test_no_round_changes_nothing():
    model = make_model()
    batch = make_batch(model)
    inputs = model.corrected(batch["inputs"], batch["data_samples"], 0)
    assert torch.equal(inputs["features"], batch["inputs"]["features"])


@pytest.mark.parametrize(
    ("share", "seen"), [(1.0, {0}), (0.0, {1, 2, 3}), (0.25, {0, 1, 2, 3}), (0.9, {0, 1, 2, 3})]
)
def test_rounds_are_drawn_as_asked(monkeypatch, share, seen):
    torch.manual_seed(0)
    model = make_model(first_share=share)
    batch = make_batch(model)
    drawn = []
    monkeypatch.setattr(model, "corrected", lambda i, s, rounds: drawn.append(rounds) or i)
    monkeypatch.setattr(model.network, "forward", lambda x: x[:, :1])
    for _ in range(400):
        model(**batch, mode="loss")
    assert set(drawn) == seen
    assert abs(drawn.count(0) / 400 - share) < 0.08


def test_rounds_leave_the_mode_of_training_alone():
    model = make_model().train()
    batch = make_batch(model)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    model.corrected(batch["inputs"], batch["data_samples"], 2)
    assert model.network.training
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())


@pytest.mark.parametrize("empty", [False, True])
def test_every_parameter_learns_from_corrections(empty):
    torch.manual_seed(1)
    model = make_model(max_rounds=2)
    batch = make_batch(model, empty=empty)
    lost = {n for n, _ in model.named_parameters()}
    for _ in range(3):
        model.zero_grad()
        losses = model(**batch, mode="loss")
        sum(losses.values()).backward()
        lost -= {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert not lost


@pytest.mark.parametrize("dtype", ["bfloat16", None])
def test_rounds_have_the_precision_of_training(dtype):
    model = make_model()
    model.network.training_dtype = dtype and getattr(torch, dtype)
    batch = make_batch(model)
    seen = []
    model.network.head.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    model.corrected(batch["inputs"], batch["data_samples"], 2)
    assert seen == [getattr(torch, dtype or "float32")] * 2


def test_seeds_fix_the_corrections():
    model = make_model()
    batch = make_batch(model)
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(model.corrected(batch["inputs"], batch["data_samples"], 2)["features"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="max_rounds must be 0 or more"):
        make_model(max_rounds=-1)
    with pytest.raises(ValueError, match="first_share must be from 0 to 1"):
        make_model(first_share=1.5)
    model = make_model()
    batch = make_batch(model)
    del batch["data_samples"][0].target
    with pytest.raises(ValueError, match="no target"):
        model(**batch, mode="loss")


def test_trains_on_first_strokes_alone_without_rounds():
    torch.manual_seed(0)
    model = make_model(max_rounds=0)
    assert isinstance(model, InteractiveRefinementModel)
    batch = make_batch(model)
    losses = model(**batch, mode="loss")
    plain = super(InteractiveRefinementModel, model).loss(batch["inputs"], batch["data_samples"])
    assert torch.equal(losses["loss_bce"], plain["loss_bce"])


def test_a_later_stroke_takes_the_place_of_an_earlier_one(monkeypatch):
    """First the left half of a square is added, then its upper half removed."""
    left, upper = np.zeros((2, 16, 16), dtype=bool)
    left[4:12, 4:8] = True
    upper[4:8, 4:12] = True
    strokes = iter([Correction(left, True), Correction(upper, False)])
    monkeypatch.setattr(interactive, "next_correction", lambda *_, **__: next(strokes))
    model = make_model()
    batch = make_batch(model, sizes=((16, 16),))
    inputs = model.corrected(batch["inputs"], batch["data_samples"], 2)
    add, remove = (channel(inputs["features"], name)[0].numpy() for name in ("add", "remove"))
    assert np.array_equal(add, left & ~upper)
    assert np.array_equal(remove, upper)
    coarse = channel(inputs["features"], "coarse")[0].numpy()
    assert coarse[add].all() and not coarse[remove].any()
