import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from attnseg.iaunet.restore import restore
from attnseg.layers import mask_boxes

Sizes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def smooth_logits(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Cones with the value 0 on an ellipse, some of them beyond the border."""
    generator = torch.Generator().manual_seed(seed)
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    values = []
    for _ in range(count):
        cy, cx, a, b = torch.rand(4, generator=generator).tolist()
        y, x = (rows + 0.5) / height - cy, (cols + 0.5) / width - cx
        values.append(1 - ((y / (0.05 + 0.2 * a)) ** 2 + (x / (0.05 + 0.2 * b)) ** 2).sqrt())
    return 6 * torch.stack(values)


@pytest.mark.parametrize("mask_thr", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("size", [(120, 168), (95, 41), (7, 300), (30, 42)])
def test_restore_without_padding_is_the_bilinear_interpolation(
    size: tuple[int, int], mask_thr: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, 30, 42, generator=generator) - 2
    for logits in (noise, smooth_logits(8, 30, 42)):
        values = interpolate(logits.double()[None], size, mode="bilinear")[0]
        values -= math.log(mask_thr / (1 - mask_thr))
        masks = restore(logits, size, size, size, mask_thr)
        clear = values.abs() > 1e-5
        assert clear.float().mean() > 0.99
        assert torch.equal(masks[clear], (values > 0)[clear])


@pytest.mark.parametrize(
    "sizes",
    [
        ((128, 128), (128, 100), (520, 406)),
        ((160, 128), (121, 128), (121, 128)),
        ((128, 160), (96, 160), (60, 100)),
        ((128, 128), (37, 128), (300, 1037)),
    ],
)
def test_restore_is_close_to_the_two_steps_over_the_padded_input(sizes: Sizes) -> None:
    padded, image, original = sizes
    logits = smooth_logits(12, padded[0] // 4, padded[1] // 4)
    large = interpolate(logits[None], padded, mode="bilinear")[..., : image[0], : image[1]]
    expected = interpolate(large, original, mode="bilinear")[0] > 0
    masks = restore(logits, *sizes)
    union = (masks | expected).sum().item()
    assert (masks & expected).sum().item() / union > 0.985
    # Nothing but borders moves, by a pixel of the input at most.
    pixel = max(1.0, original[0] / image[0])
    edge = (interpolate(large, original, mode="bilinear")[0]).abs() < 4 * pixel
    assert not (masks ^ expected)[~edge].any()


def test_restore_of_a_known_rectangle_in_a_padded_input() -> None:
    # Grid of 1/4, input 32x48 of which 24x40 are image, original twice as large: factor 8.
    logits = torch.full((1, 8, 12), -5.0)
    logits[0, 2:4, 3:9] = 5
    masks = restore(logits, (32, 48), (24, 40), (48, 80))
    expected = torch.zeros(1, 48, 80, dtype=torch.bool)
    expected[0, 16:32, 24:72] = True
    corners = torch.tensor([(y, x) for y in (16, 31) for x in (24, 71)])
    # Bilinear interpolation rounds the corners; the sides are exact.
    difference = (masks ^ expected)[0].nonzero()
    assert (torch.cdist(difference.float(), corners.float()).amin(1) < 4).all()
    assert mask_boxes(masks).tolist() == [[24, 16, 72, 32]]


def test_padding_that_is_larger_than_the_input_is_refused() -> None:
    with pytest.raises(ValueError, match="img_shape 40 is larger than the padded input 32"):
        restore(torch.zeros(1, 8, 8), (32, 32), (40, 32), (40, 32))
