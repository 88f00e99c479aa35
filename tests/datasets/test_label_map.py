"""Run-length codes of label maps, against pycocotools on each mask alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, integer_dtypes
from pycocotools import mask as rle_tools
from scipy import ndimage

from attnseg.datasets.converters.label_map import check_label_map, encode_label_map


def decode(objects, numbers, shape):
    """Paint the objects again; overlaps would show as sums."""
    ids = np.zeros(shape, np.int64)
    for number, part in zip(numbers, objects, strict=True):
        ids += number * rle_tools.decode(part["segmentation"]).astype(np.int64)
    return ids


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        integer_dtypes(sizes=(16, 32, 64)) | st.just(np.dtype(np.uint8)),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0, 0, 1, 2, 7, 100]),
    )
)
def test_codes_are_those_of_pycocotools(ids):
    numbers, objects = encode_label_map(ids)
    assert numbers.tolist() == sorted(set(ids.ravel().tolist()) - {0})
    for number, part in zip(numbers.tolist(), objects, strict=True):
        rle = rle_tools.encode(np.asfortranarray(ids == number, np.uint8))
        assert part["segmentation"] == {"size": [*ids.shape], "counts": rle["counts"].decode()}
        assert part["area"] == (ids == number).sum()
        rows, columns = ndimage.find_objects(ids == number)[0]
        width, height = columns.stop - columns.start, rows.stop - rows.start
        assert part["bbox"] == [columns.start, rows.start, width, height]


def test_thousands_of_cells_with_gaps_in_their_numbers():
    rng = np.random.default_rng(0)
    ids = np.kron(rng.permutation(2**20)[:3600].reshape(60, 60) + 1, np.ones((7, 5), np.int64))
    ids[::7] = ids[:, ::5] = 0
    numbers, objects = encode_label_map(ids.astype(np.uint32))
    assert len(objects) == 3600
    np.testing.assert_array_equal(decode(objects, numbers, ids.shape), ids)
    assert {part["area"] for part in objects} == {24}


def test_parts_that_do_not_touch_stay_one_cell():
    ids = np.zeros((6, 9), np.uint16)
    ids[0, 0] = ids[5, 8] = ids[2, 4] = 300
    numbers, objects = encode_label_map(ids)
    assert numbers.tolist() == [300]
    assert objects[0]["area"] == 3 and objects[0]["bbox"] == [0, 0, 9, 6]


@pytest.mark.parametrize("shape", [(4, 5), (1, 1)])
def test_empty_and_full_maps(shape):
    assert encode_label_map(np.zeros(shape, np.uint8))[1] == []
    (part,) = encode_label_map(np.full(shape, 9, np.uint8))[1]
    assert part["area"] == shape[0] * shape[1] and part["bbox"] == [0, 0, shape[1], shape[0]]


def test_whole_numbers_in_any_type_are_a_label_map():
    ids = np.array([[0, 3], [70000, 1]])
    for kind in (np.uint32, np.int32, np.int64, np.float32, np.float64):
        found = check_label_map(ids.astype(kind)[..., None], "a.tif")
        assert found.dtype.kind in "ui" and (found == ids).all()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), r"'a.tif' has 3 channels"),
        (np.full((2, 2, 1), 0.5, np.float32), r"'a.tif' is float32 with values that are no whole"),
        (np.full((2, 2, 1), np.nan), r"no whole numbers"),
        (np.full((2, 2, 1), -3, np.int16), r"'a.tif' holds -3"),
    ],
)
def test_what_is_no_label_map(ids, message):
    with pytest.raises(ValueError, match=message):
        check_label_map(ids, "a.tif")
