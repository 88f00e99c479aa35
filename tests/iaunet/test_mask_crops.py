import numpy as np
from faster_coco_eval import mask as rle_tools

from attnseg.iaunet.mask_crops import crop_mask, cut, encode, paste, shared_matrix


def test_crops_of_masks() -> None:
    masks = np.random.default_rng(0).random((6, 19, 23)) < 0.05
    masks[0] = True
    masks[1, :, -1] = True
    masks[1, :, 0] = True
    crops = [crop_mask(mask) for mask in masks]
    assert np.array_equal(paste(crops, (19, 23)), masks)
    shared = (masks[:, None] & masks[None]).sum((2, 3))
    assert np.array_equal(shared_matrix(crops, crops), shared)
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
