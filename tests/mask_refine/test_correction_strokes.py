"""Strokes of a simulated user."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnseg.mask_refine.correction_strokes import next_correction


def blank(*boxes, size=(40, 60)):
    mask = np.zeros(size, dtype=bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_the_core_of_the_largest_error_is_painted():
    truth = blank((5, 15, 5, 55), (20, 23, 0, 3))
    stroke, adds = next_correction(blank(), truth)
    assert adds
    # Depths of a bar of 10 rows are 1..5: rows of depth 2.5 and more, so far from the ends too.
    assert np.array_equal(stroke, blank((7, 13, 7, 53)))


def test_what_is_too_much_is_removed():
    stroke, adds = next_correction(blank((5, 15, 5, 55)), blank((5, 15, 5, 15)))
    assert not adds
    assert np.array_equal(stroke, blank((7, 13, 17, 53)))


def test_missing_and_surplus_pixels_that_touch_are_two_errors():
    stroke, adds = next_correction(blank((0, 40, 0, 20)), blank((0, 40, 20, 60)))
    assert adds and not stroke[:, :20].any()


def test_nothing_wrong_needs_no_stroke():
    mask = blank((5, 15, 5, 55))
    assert next_correction(mask, mask) is None
    assert next_correction(blank(), blank()) is None


def test_padding_holds_no_errors():
    valid = blank((0, 40, 0, 30))
    stroke, _ = next_correction(blank(), blank((5, 15, 20, 60)), valid)
    assert stroke.any() and not stroke[:, 30:].any()
    assert next_correction(blank(), blank((5, 15, 30, 60)), valid) is None


def test_an_error_at_the_border_is_as_deep_as_inside():
    stroke, _ = next_correction(blank(size=(9, 9)), np.ones((9, 9), dtype=bool))
    assert np.array_equal(np.argwhere(stroke)[[0, -1]], [[2, 2], [6, 6]])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 12), st.integers(1, 12))
def test_strokes_lie_within_errors_of_their_kind(seed, drawn, height, width):
    rng = np.random.default_rng(seed)
    mask, truth = rng.random((2, height, width)) < 0.5
    found = next_correction(mask, truth, rng=rng if drawn else None)
    if found is None:
        assert np.array_equal(mask, truth)
    else:
        assert found.stroke.any()
        assert (truth & ~mask if found.adds else mask & ~truth)[found.stroke].all()


def test_drawn_errors_follow_their_areas():
    truth = blank((0, 10, 0, 30), (20, 30, 0, 10))
    rng = np.random.default_rng(0)
    large = [next_correction(blank(), truth, rng=rng).stroke[:10].any() for _ in range(400)]
    assert np.mean(large) == pytest.approx(0.75, abs=0.07)
