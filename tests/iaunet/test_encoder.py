import pytest
import torch

from attnseg.iaunet import UNetEncoder


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [(64, 64), (33, 70)])
def test_strides_and_widths(stride, size):
    encoder = UNetEncoder(2, widths=(4, 8, 12), stem_stride=stride, blocks=2)
    maps = encoder(torch.randn(2, 2, *size))
    assert [m.shape[1] for m in maps] == [4, 8, 12]
    for level, m in enumerate(maps):
        step = stride * 2**level
        assert tuple(m.shape[2:]) == (-(-size[0] // step), -(-size[1] // step))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"stem_stride": 3}, "stem_stride must be 1, 2 or 4, not 3"),
        ({"widths": ()}, "at least one"),
    ],
)
def test_wrong_arguments(option, message):
    with pytest.raises(ValueError, match=message):
        UNetEncoder(**option)
