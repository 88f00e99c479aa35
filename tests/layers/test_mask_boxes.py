import pytest
import torch

from attnseg.layers import mask_boxes
from attnseg.layers.mask_boxes import boxes_of_lines


def test_boxes_of_odd_masks() -> None:
    masks = torch.zeros(4, 3, 5, dtype=torch.bool)
    masks[1] = True
    masks[2, 2, 4] = True
    masks[3, 0, 1] = masks[3, 1, 3] = True
    boxes = mask_boxes(masks)
    assert boxes.dtype == torch.float32
    assert boxes.tolist() == [[0, 0, 0, 0], [0, 0, 5, 3], [4, 2, 5, 3], [1, 0, 4, 2]]
    assert mask_boxes(masks[:0]).shape == (0, 4)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (33, 16)])
def test_boxes_are_those_of_the_pixels(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(20, *size, generator=generator) < 3 / (size[0] * size[1])
    expected = []
    for mask in masks:
        y, x = mask.nonzero(as_tuple=True)
        ends = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else [0] * 4
        expected.append([float(end) for end in ends])
    assert mask_boxes(masks).tolist() == expected
    assert boxes_of_lines(masks.any(1), masks.any(2)).tolist() == expected
