"""Parameters and MACs at the published size, on tensors without memory."""

from functools import partial

import pytest
import torch
from mmengine.registry import init_default_scope

from attnseg.apis.benchmark_inputs import read_model
from attnseg.compat import setup_env
from attnseg.engine.complexity import count
from attnseg.iaunet import IAUNet
from attnseg.registry import MODELS

LEAF = "iaunet/iaunet_{}_1xb8-16000i_revvity-instance-512x512.py"


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> object:
    """Build a leaf's model on the meta device, with other values for its head."""
    setup_env()
    # Swin reads its drop rates from a tensor, which needs numbers.
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))

    def make(encoder: str, **head: object) -> IAUNet:
        model, scope = read_model(LEAF.format(encoder))
        init_default_scope(scope)
        model.head.update(head)
        with torch.device("meta"):
            return MODELS.build(model)

    return make


def gmacs(model: IAUNet) -> float:
    image = torch.zeros(1, 3, 512, 512, device="meta")
    return count(model, lambda m: m(image, mode="tensor")).macs / 1e9


@pytest.mark.parametrize(
    ("encoder", "pixel_update", "millions"),
    [
        ("r50", "instance", 64.60),
        ("r50", "both", 69.86),
        ("r101", "instance", 83.59),
        ("r101", "both", 88.85),
        ("swin-s", "instance", 75.4),
        ("swin-s", "both", 80.7),
        ("swin-b", "instance", 115.6),
        ("swin-b", "both", 120.9),
    ],
)
def test_parameters_of_the_published_variants(build, encoder, pixel_update, millions):
    model = build(encoder, variant="code", pixel_update=pixel_update)
    found = sum(p.numel() for p in model.parameters()) / 1e6
    assert found == pytest.approx(millions, rel=0.02)
    if (encoder, pixel_update) == ("r50", "instance"):
        # The figure of the paper's table.
        assert found == pytest.approx(65, rel=0.02)


@pytest.mark.parametrize(("pixel_update", "expected"), [("instance", 153.3), ("both", 181.2)])
def test_macs_of_the_published_variants(build, pixel_update, expected):
    model = build("r50", variant="code", pixel_update=pixel_update)
    assert gmacs(model) == pytest.approx(expected, rel=0.02)


def test_fast_has_at_most_half_the_macs_of_the_default(build):
    assert gmacs(build("r50", preset="fast")) <= gmacs(build("r50")) / 2
