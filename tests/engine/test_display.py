"""Images of any depth and number of channels become RGB of 8 bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attnseg.engine.display import to_rgb


def test_channels_have_their_colours() -> None:
    pixel = np.array([[[10, 200, 30, 40, 70]]], np.uint8)
    assert to_rgb(pixel[..., 0]).tolist() == to_rgb(pixel[..., :1]).tolist() == [[[10, 10, 10]]]
    # Magenta and green.
    assert to_rgb(pixel[..., :2]).tolist() == [[[10, 200, 10]]]
    assert to_rgb(pixel[..., :3]).tolist() == [[[10, 200, 30]]]
    assert to_rgb(pixel[..., :3], bgr=True).tolist() == [[[30, 200, 10]]]
    assert to_rgb(pixel).tolist() == [[[70, 70, 70]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.0, 12.4, 255.0], np.float32), [0, 12, 255]),
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
        (np.array([1000, 3000, 5000], np.uint16), [0, 128, 255]),
        (np.array([0, 1, 1], np.uint16), [0, 1, 1]),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([np.nan, 300.0, 300.0]), [0, 0, 0]),
        (np.array([np.inf, 0.0, 400.0]), [0, 0, 255]),
        (np.full(3, np.nan), [0, 0, 0]),
    ],
)
def test_ranges(values: np.ndarray, expected: list[int]) -> None:
    assert to_rgb(values[None])[0, :, 1].tolist() == expected


def test_what_is_no_picture_is_refused() -> None:
    for shape in ((3,), (0, 4, 3), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match=r"needs pixels \(H, W\)"):
            to_rgb(np.zeros(shape))


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.int32]),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6)),
    )
)
def test_any_image_gives_rgb(image: np.ndarray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        shown = to_rgb(image)
    assert shown.shape == (*image.shape[:2], 3) and shown.dtype == np.uint8
