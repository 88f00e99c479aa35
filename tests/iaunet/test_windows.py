import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnseg.iaunet.windows import Window, WindowConfig, window_grid

sides = st.integers(1, 60)


@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    window=st.tuples(sides, sides),
    data=st.data(),
)
def test_windows_cover_the_image_and_overlap_enough(
    size: tuple[int, int], window: tuple[int, int], data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, min(window) - 1))
    grid = window_grid(size, window, overlap)
    covered = np.zeros(size, dtype=int)
    for top, left, height, width in grid:
        assert top >= 0 and top + height <= size[0]
        assert left >= 0 and left + width <= size[1]
        assert (height, width) == (min(window[0], size[0]), min(window[1], size[1]))
        covered[top : top + height, left : left + width] += 1
    assert covered.min() >= 1
    assert len(set(grid)) == len(grid)
    for axis in (0, 1):
        starts = sorted({w[axis] for w in grid})
        steps = np.diff(starts)
        assert (steps <= window[axis] - overlap).all()
        # No more windows than needed.
        length, side = size[axis], window[axis]
        assert len(starts) == 1 + -(-max(0, length - side) // (side - overlap))


def test_last_row_and_column_are_shifted_inwards() -> None:
    grid = window_grid((1024, 1022), (512, 512), 128)
    assert grid == [Window(y, x, 512, 512) for y in (0, 384, 512) for x in (0, 384, 510)]


def test_small_images_are_one_window() -> None:
    assert window_grid((300, 512), (512, 512), 128) == [(0, 0, 300, 512)]
    assert window_grid((300, 600), (512, 512), 128) == [(0, 0, 300, 512), (0, 88, 300, 512)]


@pytest.mark.parametrize(
    ("window", "overlap", "message"),
    [
        ((64, 32), 32, "below the window's shorter side 32, got 32"),
        ((64, 32), -1, "got -1"),
        ((64, 32), 1.5, "got 1.5"),
        ((64, 0), 0, r"size \(height, width\)"),
        (64, 0, r"size \(height, width\)"),
    ],
)
def test_impossible_windows_are_refused(window: object, overlap: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window_grid((100, 100), window, overlap)
    with pytest.raises(ValueError, match=message):
        WindowConfig(window, overlap)


def test_images_without_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        window_grid((0, 10), (4, 4), 1)
