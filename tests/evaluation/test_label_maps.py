"""Painting masks into one label map, against the COCO tools' own decoder."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as tools

from attnseg.evaluation.label_maps import (
    paint_masks,
    paint_objects,
    paint_rles,
    painting_order,
)
from attnseg.rle import run_lengths


def _encode(mask: np.ndarray) -> dict:
    return tools.encode(np.asfortranarray(mask, dtype=np.uint8))


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 300)),
    blocks=st.integers(1, 60),
    density=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)
def test_agrees_with_coco_decoder(seed, size, blocks, density) -> None:
    rng = np.random.default_rng(seed)
    masks = np.repeat(rng.random((3, size[0], -(-size[1] // blocks))) < density, blocks, 2)
    masks = masks[:, :, : size[1]]
    rles = [_encode(mask) for mask in masks]
    expected = np.zeros(size, dtype=int)
    for number, rle in enumerate(rles, 1):
        expected[tools.decode(rle) == 1] = number
        plain = tools.frPyObjects({"size": size, "counts": run_lengths(rle).tolist()}, *size)
        assert plain["counts"] == rle["counts"]
    np.testing.assert_array_equal(paint_rles(rles, size), expected)
    text = [{"size": rle["size"], "counts": rle["counts"].decode()} for rle in rles]
    order = np.array([2, 0])
    from_text = paint_masks(text, order, size, "x")
    np.testing.assert_array_equal(from_text, paint_masks(torch.tensor(masks), order, size, "x"))
    np.testing.assert_array_equal(np.where(masks[0], 1, masks[2] * 3), from_text)


def test_large_image_with_long_runs() -> None:
    mask = np.zeros((2000, 3000), dtype=bool)
    mask[1999, 2999] = mask[100:1900, 200:2800] = True
    np.testing.assert_array_equal(paint_rles([_encode(mask)], mask.shape) == 1, mask)


def test_smaller_objects_lie_on_top() -> None:
    masks = np.zeros((3, 1, 9), dtype=bool)
    masks[0, 0, 3:5], masks[1, 0, 1:7], masks[2, 0, 4:9] = True, True, True
    objects = [{"segmentation": _encode(m), "iscrowd": int(i == 2)} for i, m in enumerate(masks)]
    canvas, crowd = paint_objects(objects, (1, 9))
    assert canvas.tolist() == [[0, 2, 2, 1, 1, 2, 2, 0, 0]]
    assert crowd.tolist() == [[False] * 7 + [True] * 2]
    canvas, crowd = paint_objects([], (2, 3))
    assert canvas.shape == crowd.shape == (2, 3) and not canvas.any() and not crowd.any()


def test_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Masks of x have shape \(1, 4, 6\).*\(4, 5\)"):
        paint_masks(np.zeros((1, 4, 6)), np.array([0]), (4, 5), "x")
    with pytest.raises(ValueError, match=r"Masks of x"):
        paint_masks([_encode(np.zeros((4, 6)))], np.array([0]), (4, 5), "x")


@pytest.mark.parametrize("counts", [b"5", b"ooo", "7", ""])
def test_damaged_masks_are_named(counts) -> None:
    rles = [_encode(np.ones((2, 3))), {"size": [2, 3], "counts": counts}]
    with pytest.raises(ValueError, match=r"Mask 1 of x: damaged RLE"):
        paint_masks(rles, np.array([1, 0]), (2, 3), "x")
    objects = [{"segmentation": rle, "iscrowd": 0, "id": 7 + i} for i, rle in enumerate(rles)]
    with pytest.raises(ValueError, match=r"annotation 8: damaged RLE"):
        paint_objects(objects, (2, 3))
    with pytest.raises(ValueError, match=r"annotation 8: damaged RLE"):
        paint_objects([objects[0], objects[1] | {"iscrowd": 1}], (2, 3))


def test_first_of_equal_scores_lies_on_top() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.9, 0.7, 0.99], np.float32)
    labels = np.array([0, 0, 2, 2, 0, 1])
    assert painting_order(scores, labels, [0, 2], 0.7).tolist() == [4, 3, 1]
    # As float64 the score is a little below 0.7; saved predictions are of that type.
    assert painting_order(scores.astype(np.float64), labels, [0, 2], 0.7).tolist() == [4, 3, 1]
    assert painting_order(scores, labels, [0, 1, 2], 0).tolist() == [2, 0, 4, 3, 1, 5]
    assert painting_order(np.zeros(0), np.zeros(0, int), [0], 0.5).tolist() == []
