"""Pure functions behind the data sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnseg.datasets.checks import (
    check_palette,
    make_palette,
    normalise_metainfo,
    read_class_list,
    select_fraction,
)

fractions = st.floats(0.001, 1.0)


@given(st.integers(0, 500), fractions, st.integers(0, 2**31))
def test_fraction_gives_the_rounded_share_without_repeats(count, fraction, seed):
    chosen = select_fraction(count, fraction, seed)
    assert len(chosen) == min(count, max(1, round(count * fraction)))
    assert chosen == sorted(set(chosen))
    assert all(0 <= index < count for index in chosen)
    assert chosen == select_fraction(count, fraction, seed)


@given(st.integers(1, 300), fractions, fractions, st.integers(0, 100))
def test_smaller_fractions_lie_inside_larger_ones(count, one, other, seed):
    small, large = sorted((one, other))
    assert set(select_fraction(count, small, seed)) <= set(select_fraction(count, large, seed))


def test_another_seed_gives_another_subset():
    assert select_fraction(100, 0.2, 0) != select_fraction(100, 0.2, 1)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5])
def test_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction must lie in \(0, 1\]"):
        select_fraction(10, fraction, 0)


def test_a_bare_string_is_one_class():
    assert normalise_metainfo({"classes": "cell"})["classes"] == ("cell",)


def test_a_string_that_is_a_file_is_a_list_of_classes(tmp_path):
    listed = tmp_path / "classes.txt"
    listed.write_text("sky\n\n# void=255\nroad\n")
    assert read_class_list(str(listed)) == ("sky", "road")
    assert normalise_metainfo({"classes": str(listed)})["classes"] == ("sky", "road")


@pytest.mark.parametrize("classes", [("a", "b", "a"), ()])
def test_repeated_or_no_classes_are_refused(classes):
    with pytest.raises(ValueError, match="metainfo.classes must name each class once"):
        normalise_metainfo({"classes": classes})


@pytest.mark.parametrize("classes", [5, ("a", 3), {"a": 1}])
def test_classes_that_are_no_names_are_refused(classes):
    with pytest.raises(ValueError, match=r"metainfo.classes must be a list of names.*got"):
        normalise_metainfo({"classes": classes})


@pytest.mark.parametrize("count", [1, 19, 80, 150])
def test_palette_has_one_distinct_colour_a_class(count):
    palette = make_palette(count)
    assert len(palette) == len(set(palette)) == count
    assert all(0 <= value <= 255 for colour in palette for value in colour)


def test_palette_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 colours for 1 classes"):
        check_palette([(0, 0, 0), (1, 1, 1)], ("cell",))
