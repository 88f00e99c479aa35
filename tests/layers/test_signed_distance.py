"""Signed distances: by hand, against scipy, empty and full masks, padding."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from attnseg.layers.signed_distance import signed_distance


def test_by_hand() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1, 0]])
    wanted = torch.tensor([[-1.5, -0.5, 0.5, 1.5, 0.5, -0.5]])
    torch.testing.assert_close(signed_distance(mask), wanted)
    torch.testing.assert_close(signed_distance(1 - mask), -wanted)


@pytest.mark.parametrize("size", [(1, 7), (31, 17), (64, 65)])
def test_agrees_with_scipy(size: tuple[int, int]) -> None:
    masks = np.random.default_rng(0).random((2, 3, *size)) < 0.1
    masks[..., 0, :2] = [True, False]
    got = signed_distance(torch.from_numpy(masks))
    for own, values in zip(masks.reshape(-1, *size), got.reshape(-1, *size), strict=True):
        inside = ndimage.distance_transform_edt(own) - 0.5
        outside = ndimage.distance_transform_edt(~own) - 0.5
        np.testing.assert_allclose(values, np.where(own, inside, -outside), atol=1e-4)


def test_empty_and_full_masks() -> None:
    assert (signed_distance(torch.zeros(3, 4)) == -torch.inf).all()
    assert (signed_distance(torch.ones(3, 4)) == torch.inf).all()
    assert signed_distance(torch.zeros(0, 1, 3, 4)).shape == (0, 1, 3, 4)


def test_padding_is_neither_inside_nor_outside() -> None:
    mask = torch.zeros(5, 6, dtype=torch.bool)
    mask[2:, 3:] = True
    padded, valid = torch.zeros(2, 8, 11, dtype=torch.bool)
    padded[:5, :6], valid[:5, :6] = mask, True
    got = signed_distance(padded, valid)
    torch.testing.assert_close(got[:5, :6], signed_distance(mask))
    assert (got[~valid] == 0).all()
    full = signed_distance(valid, valid)
    assert (full[valid] == torch.inf).all() and (full[~valid] == 0).all()


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(4, 3\)"):
        signed_distance(torch.zeros(3, 4), torch.ones(4, 3))
