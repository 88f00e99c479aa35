import numpy as np
import pytest
import torch
from pycocotools.mask import decode

from attnseg.iaunet.detector import IAUNet
from attnseg.iaunet.structures import MaskPrediction
from tests.iaunet.factory import detector, sample

ANY = {"score_thr": 0.0, "nms_iou": 1.0}


def predict(model: IAUNet, x: torch.Tensor, *samples: object) -> list:
    with torch.no_grad():
        return [s.pred_instances for s in model.eval().predict(x, list(samples))]


@pytest.mark.parametrize("size", [(32, 32), (30, 61), (8, 8), (97, 131)])
@pytest.mark.parametrize("ori", [None, (50, 33)])
def test_masks_have_the_original_size(size, ori):
    padded = tuple(-(-n // 32) * 32 for n in size)
    found = predict(detector(ANY), torch.randn(1, 3, *padded), sample(size, 0, ori, padded))[0]
    assert tuple(found.masks.shape[1:]) == (ori or size)
    assert 0 < len(found) == len(found.scores) == len(found.labels)
    assert (found.bboxes[:, 2:] > found.bboxes[:, :2]).all()


def test_a_known_object_comes_out_where_it_is(monkeypatch):
    """A rectangle in an input of 64x96, 16 rows and 16 columns of which are padding."""
    model = detector()
    masks = torch.full((1, 7, 32, 48), -9.0)
    masks[0, 3, 8:16, 10:30] = 9.0
    classes = torch.full((1, 7, 3), -9.0)
    classes[..., 2] = 9.0
    classes[0, 3] = torch.tensor([-9.0, 9.0, -9.0])
    monkeypatch.setattr(model, "_forward", lambda *args: MaskPrediction(classes, masks))
    found = predict(model, torch.zeros(1, 3, 64, 96), sample((48, 80), 0, (96, 160), (64, 96)))[0]
    assert found.labels.tolist() == [1]
    # 2 pixels of the input a cell, 2 of the original a pixel.
    assert found.bboxes.tolist() == [[40, 32, 120, 64]]
    # Interpolation rounds the four corners.
    assert found.masks.sum() == 32 * 80 - 4


def test_what_lies_in_the_padding_has_no_influence_on_the_size_of_others():
    """Images of a batch are cut to their own size."""
    samples = [sample((32, 40), 0, None, (32, 64)), sample((20, 64), 0, (40, 128), (32, 64))]
    found = predict(detector(ANY), torch.randn(2, 3, 32, 64), *samples)
    assert [tuple(f.masks.shape[1:]) for f in found] == [(32, 40), (40, 128)]


def test_run_length_codes_hold_the_same_masks():
    x = torch.randn(1, 3, 32, 64)
    dense, coded = (
        predict(detector({**ANY, "rle": rle}), x, sample((30, 61), 0, (45, 90), (32, 64)))[0]
        for rle in (False, True)
    )
    assert isinstance(coded.masks, list)
    for mask, code in zip(dense.masks, coded.masks, strict=True):
        assert np.array_equal(mask.numpy(), decode(code).astype(bool))
    torch.testing.assert_close(dense.bboxes, coded.bboxes)


def test_no_more_than_max_per_img():
    assert (
        len(
            predict(
                detector({**ANY, "max_per_img": 3}), torch.randn(1, 3, 32, 32), sample((32, 32), 0)
            )[0]
        )
        <= 3
    )


def test_one_window_gives_what_the_whole_image_gives():
    x = torch.randn(1, 3, 32, 64)
    options = {**ANY, "nms_iou": 0.8}
    whole = predict(detector(options), x, sample((32, 64), 0))[0]
    windows = {"size": (32, 64), "overlap": 16}
    found = predict(detector({**options, "windows": windows}), x, sample((32, 64), 0))[0]
    assert 0 < len(found) <= len(whole)
    of_whole = {m.numpy().tobytes() for m in whole.masks}
    assert all(m.numpy().tobytes() in of_whole for m in found.masks)


@pytest.mark.parametrize("size", [(20, 100), (97, 131), (16, 16)])
@pytest.mark.parametrize("rle", [False, True])
def test_images_of_any_size_in_windows(size, rle):
    padded = tuple(-(-n // 32) * 32 for n in size)
    options = {**ANY, "rle": rle, "windows": {"size": (32, 32), "overlap": 16, "batch": 3}}
    x = torch.randn(1, 3, *padded)
    found = predict(detector(options), x, sample(size, 0, (64, 70), padded))[0]
    assert len(found) > 0
    masks = [decode(m) for m in found.masks] if rle else found.masks
    assert all(tuple(m.shape) == (64, 70) for m in masks)


def test_unknown_test_settings():
    with pytest.raises(ValueError, match="unknown keys"):
        detector({"threshold": 0.5})
