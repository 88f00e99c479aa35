import pytest
import torch
from mmdet.models.layers import SinePositionalEncoding

from attnseg.layers import coordinates, sine_positions, to_map


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 4)])
def test_sine_positions_are_those_of_detr(size):
    detr = SinePositionalEncoding(num_feats=8, normalize=True)
    expected = detr(torch.zeros(1, *size, dtype=torch.bool))
    own = to_map(sine_positions(size, 16, torch.zeros(1)), size)
    torch.testing.assert_close(own, expected, atol=1e-5, rtol=0)


def test_sine_positions_of_a_transposed_map_swap_rows_and_columns():
    wide = to_map(sine_positions((3, 7), 8, torch.zeros(1)), (3, 7))
    tall = to_map(sine_positions((7, 3), 8, torch.zeros(1)), (7, 3))
    rows, columns = wide.chunk(2, 1)
    torch.testing.assert_close(torch.cat([columns, rows], 1).mT, tall)


def test_sine_positions_take_the_type_and_refuse_odd_channels():
    assert sine_positions((2, 2), 4, torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="divisible by 4, got 6"):
        sine_positions((2, 2), 6, torch.zeros(1))


def test_coordinates_of_a_map_that_is_not_square():
    grid = coordinates(torch.zeros(2, 3, 2, 4, dtype=torch.float64))
    assert grid.shape == (2, 2, 2, 4)
    torch.testing.assert_close(grid[1, 0, 0], torch.tensor([-0.75, -0.25, 0.25, 0.75]).double())
    torch.testing.assert_close(grid[0, 1, :, 3], torch.tensor([-0.5, 0.5]).double())


def test_coordinates_agree_between_resolutions():
    fine, coarse = coordinates(torch.zeros(1, 1, 8, 12)), coordinates(torch.zeros(1, 1, 4, 6))
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(fine, 2), coarse)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_coordinates_in_half_precision_are_only_rounded(dtype):
    exact = coordinates(torch.zeros(1, 1, 3, 400, dtype=torch.float64))
    assert torch.equal(coordinates(torch.zeros(1, 1, 3, 400, dtype=dtype)), exact.to(dtype))
