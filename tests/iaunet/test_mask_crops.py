import numpy as np
from faster_coco_eval import mask as rle_tools
from hypothesis import given
from hypothesis import strategies as st

from attnseg.iaunet.mask_crops import (
    crop_mask,
    cut,
    encode,
    near_boxes,
    paste,
    shared_pairs,
)


def test_crops_of_masks() -> None:
    masks = np.random.default_rng(0).random((6, 19, 23)) < 0.05
    masks[0] = True
    masks[1, :, -1] = True
    masks[1, :, 0] = True
    crops = [crop_mask(mask) for mask in masks]
    assert np.array_equal(paste(crops, (19, 23)), masks)
    shared = (masks[:, None] & masks[None]).sum((2, 3))
    for second, expected in ((crops, shared), (None, np.triu(shared, 1))):
        i, j, pixels = shared_pairs(crops, second)
        assert np.array_equal(np.stack([i, j]), np.nonzero(expected))
        assert np.array_equal(pixels, expected[i, j])
    assert [len(values) for values in shared_pairs([])] == [0, 0, 0]
    assert [len(values) for values in shared_pairs(crops, [])] == [0, 0, 0]
    assert [crop.area for crop in crops] == masks.sum((1, 2)).tolist()
    for crop, mask in zip(crops, masks, strict=True):
        assert encode(crop, (19, 23)) == rle_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert crop_mask(np.zeros((3, 4), dtype=bool)) is None
    assert crop_mask(masks[0, :4, :5], top=7, left=9).box == (9, 7, 14, 11)


def test_cut_keeps_what_lies_in_the_rectangle() -> None:
    masks = np.random.default_rng(1).random((8, 19, 23)) < 0.03
    for rows, columns in [(slice(3, 9), slice(5, 20)), (slice(0, 19), slice(22, 23))]:
        inside = np.zeros_like(masks)
        inside[:, rows, columns] = masks[:, rows, columns]
        for mask, expected in zip(masks, inside, strict=True):
            found = cut(crop_mask(mask), rows, columns)
            assert (found is not None) == expected.any()
            if found is not None:
                assert np.array_equal(paste([found], (19, 23))[0], expected)
    crop = crop_mask(masks[0, :5, :5], top=4, left=4)
    assert cut(crop, slice(12, 19), slice(0, 23)) is None
    assert cut(crop, slice(0, 2), slice(12, 23)) is None


@given(sizes=st.tuples(st.integers(0, 9), st.integers(0, 9)), seed=st.integers(0, 2**16))
def test_near_boxes_are_those_with_a_common_pixel(sizes: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Some boxes are empty, some reach far.
    starts = [rng.integers(0, 20, (n, 2)) for n in sizes]
    boxes = [np.hstack([s, s + rng.integers(-2, rng.choice([4, 25]), s.shape)]) for s in starts]

    def pixels(box: np.ndarray) -> set[tuple[int, int]]:
        return {(y, x) for y in range(box[1], box[3]) for x in range(box[0], box[2])}

    expected = [
        (i, j)
        for i, one in enumerate(boxes[0])
        for j, two in enumerate(boxes[1])
        if pixels(one) & pixels(two)
    ]
    assert list(zip(*(part.tolist() for part in near_boxes(*boxes)), strict=True)) == expected
