import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnseg.iaunet.windows import Window, WindowConfig, depth_map, inner_part, window_grid

sides = st.integers(1, 60)


@settings(deadline=None)
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


def test_depth_is_the_distance_from_the_sides_at_which_the_image_goes_on() -> None:
    size = (20, 17)
    for window in window_grid(size, (9, 8), 4):
        top, left, height, width = window
        seen = np.zeros((22, 19), dtype=bool)
        seen[1 + top : 1 + top + height, 1 + left : 1 + left + width] = True
        # A frame of visible pixels: the border of the image does not count.
        seen[0], seen[-1], seen[:, 0], seen[:, -1] = True, True, True, True
        outside = np.argwhere(~seen) - 1
        box = (2, 3, 15, 18)
        depth = depth_map(window, size, box)
        for y in range(3, 18):
            for x in range(2, 15):
                inside = top <= y < top + height and left <= x < left + width
                assert (depth[y - 3, x - 2] >= 0) == inside
                if inside:
                    nearest = np.abs(outside - (y, x)).max(1).min()
                    assert depth[y - 3, x - 2] == nearest - 1
        for margin in (0, 1, 2):
            rows, columns = inner_part(window, size, margin)
            expected = depth_map(window, size, (0, 0, size[1], size[0])) >= margin
            found = np.zeros(size, dtype=bool)
            found[rows, columns] = True
            assert np.array_equal(found, expected)


def test_a_window_of_the_whole_image_is_deep_everywhere() -> None:
    assert depth_map(Window(0, 0, 5, 9), (5, 9), (0, 0, 9, 5)).min() >= 9
