"""The refinement model: losses by name, the way back to the image, strokes, thresholds."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnseg.errors import InputError
from attnseg.mask_refine import MaskRefinementModel
from attnseg.registry import MODELS
from tests.mask_refine.samples import packed

NETWORK = {"type": "attnseg.RefineUNet", "widths": (8,)}
LOSSES = [
    {"type": "attnseg.MaskBCELoss", "loss_weight": 0.4},
    {"type": "attnseg.RegionDiceLoss", "loss_weight": 0.4},
    {"type": "attnseg.SobelBoundaryLoss", "loss_weight": 0.2},
    {"type": "attnseg.DistanceBoundaryLoss"},
]


class Answer(nn.Module):
    """A network that answers the same whatever it sees."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, features: Tensor) -> Tensor:
        return self.logits.expand(len(features), 1, *features.shape[-2:])


def model_that_answers(logits: Tensor, **settings: object) -> MaskRefinementModel:
    model = MaskRefinementModel(NETWORK, **settings)
    model.network = Answer(logits)
    return model


def test_losses_by_name_do_not_see_the_padding() -> None:
    torch.manual_seed(0)
    model = MaskRefinementModel(NETWORK, LOSSES)
    batch = model.data_preprocessor(packed([(13, 21), (18, 9)]), True)
    losses = model(**batch, mode="loss")
    assert list(losses) == ["loss_bce", "loss_dice", "loss_sobel", "loss_distance"]
    logits = model(**batch)
    pixels, truth = [], []
    for own, sample in zip(logits, batch["data_samples"], strict=True):
        height, width = sample.target.shape
        pixels.append(own[0, :height, :width].flatten())
        truth.append(sample.target.flatten().float())
    wanted = F.binary_cross_entropy_with_logits(torch.cat(pixels), torch.cat(truth))
    torch.testing.assert_close(losses["loss_bce"], 0.4 * wanted)
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(total, sum(losses.values()))
    total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert set(logged) == {"loss", *losses}


@pytest.mark.parametrize("box", [None, (5, 3, 25, 23), (-4, -6, 12, 18), (20, 20, 60, 52)])
def test_pastes_back_into_the_image(box: tuple[int, int, int, int] | None) -> None:
    size, own = (37, 41), (37, 41) if box is None else (16, 16)
    logits = torch.linspace(-1, 1, own[1]).expand(1, 1, *own) + 0.0
    model = model_that_answers(logits, test_cfg={"logits": True})
    (sample,) = model.test_step(packed([own], box, size))
    x0, y0, x1, y1 = box or (0, 0, size[1], size[0])
    # Linear along x: the resized logit is known at each pixel's centre but for the clamped ends.
    x = (np.arange(size[1]) + 0.5 - x0) / (x1 - x0) * own[1] - 0.5
    inside = (np.arange(size[1]) >= x0) & (np.arange(size[1]) < x1)
    row = inside & (np.interp(x, np.arange(own[1]), logits[0, 0, 0].numpy()) > 0)
    rows = (np.arange(size[0]) >= y0) & (np.arange(size[0]) < y1)
    assert sample.pred_mask.dtype == torch.bool
    np.testing.assert_array_equal(sample.pred_mask.numpy(), rows[:, None] & row)
    assert torch.equal(sample.pred_logits, logits[0, 0])


def test_box_outside_the_image_and_empty_box() -> None:
    model = model_that_answers(torch.ones(1, 1, 8, 8))
    (sample,) = model.test_step(packed([(8, 8)], (50, 50, 60, 60), (20, 30)))
    assert sample.pred_mask.shape == (20, 30) and not sample.pred_mask.any()
    with pytest.raises(ValueError, match="crop_box"):
        model.test_step(packed([(8, 8)], (5, 5, 5, 9), (20, 30)))


def test_threshold_is_on_the_logit() -> None:
    logits = torch.tensor([-0.1, 0.0, 0.1, 0.5, 0.6]).expand(1, 1, 4, 5)
    for threshold, wanted in ((0.0, 3), (0.5, 1)):
        model = model_that_answers(logits, threshold=threshold)
        (sample,) = model.test_step(packed([(4, 5)]))
        assert sample.pred_mask.sum() == 4 * wanted


@pytest.mark.parametrize("obey", [True, False])
@pytest.mark.parametrize("box", [None, (2, 2, 18, 22)])
def test_strokes_are_obeyed(obey: bool, box: tuple[int, int, int, int] | None) -> None:
    logits = torch.full((1, 1, 10, 8), -1.0)
    logits[..., 4:] = 1
    model = model_that_answers(logits, test_cfg={"obey_strokes": obey})
    size = (10, 8) if box is None else (24, 20)
    batch = packed([(10, 8)], box, size)
    sample = batch["data_samples"][0]
    sample.add_mask, sample.remove_mask = torch.zeros(2, *size, dtype=torch.bool)
    # Single pixels of the image, also outside the crop.
    sample.add_mask[0, 1], sample.remove_mask[5, -4] = True, True
    plain = model_that_answers(logits).test_step(packed([(10, 8)], box, size))[0].pred_mask
    mask = model.test_step(batch)[0].pred_mask
    assert not plain[0, 1] and plain[5, -4]
    changed = (mask != plain).nonzero().tolist()
    assert changed == ([[0, 1], [5, size[1] - 4]] if obey else [])


def test_validation_loss_is_that_of_training() -> None:
    torch.manual_seed(0)
    model = MaskRefinementModel(NETWORK, LOSSES, test_cfg={"loss": True}).eval()
    batch = packed([(13, 21), (18, 9)])
    *samples, last = model.val_step(batch)
    assert len(samples) == 2 and last.keys() == ["loss"]
    wanted = model(**model.data_preprocessor(batch), mode="loss")
    for name, value in wanted.items():
        torch.testing.assert_close(last.loss[name], value)


def test_targets_are_needed_for_a_loss_alone() -> None:
    model = MaskRefinementModel(NETWORK, LOSSES, test_cfg={"loss": True})
    batch = packed([(6, 7)])
    del batch["data_samples"][0].target
    with pytest.raises(InputError, match=r"image_0\.jpg.*no target.*LoadObjectMask"):
        model(**model.data_preprocessor(batch), mode="loss")
    (sample,) = model.test_step(batch)
    assert sample.pred_mask.shape == (6, 7)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="obey_stroke.*known"):
        MaskRefinementModel(NETWORK, test_cfg={"obey_stroke": True})
    with pytest.raises(ValueError, match="loss_name"):
        MaskRefinementModel(NETWORK, [LOSSES[0], LOSSES[0]])
    with pytest.raises(ValueError, match="'loss', 'predict' or 'tensor'"):
        MaskRefinementModel(NETWORK)({"features": torch.zeros(1, 3, 4, 4)}, mode="test")


def test_is_built_by_its_name_and_fits_one_image() -> None:
    torch.manual_seed(0)
    model = MODELS.build(
        {"type": "attnseg.MaskRefinementModel", "network": NETWORK, "losses": LOSSES[:2]}
    )
    batch = packed([(24, 31)])
    batch["data_samples"][0].coarse = batch["data_samples"][0].target.roll(3, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs = model.data_preprocessor(batch)
    values = []
    for _ in range(80):
        optimizer.zero_grad()
        total, _ = model.parse_losses(model(**inputs, mode="loss"))
        total.backward()
        optimizer.step()
        values.append(total.item())
    with torch.no_grad():
        (sample,) = model.eval().test_step(batch)
    both = (sample.pred_mask & sample.target).sum() / (sample.pred_mask | sample.target).sum()
    assert values[-1] < 0.3 * values[0] and both > 0.9
