import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from faster_coco_eval import mask as rle_tools
from numpy.typing import NDArray
from scipy import ndimage

from attnseg.iaunet.mask_crops import MaskCrop, shared_pixels
from attnseg.iaunet.mask_nms import greedy_keep
from attnseg.iaunet.stitching import (
    StitchedInstance,
    WindowPrediction,
    _suppress,
    stitch,
    to_instance_data,
)
from tests.iaunet.cells import cut, discs, tissue


@pytest.mark.parametrize("overlap", [24, 40])
@pytest.mark.parametrize("kind", ["apart", "touching", "tissue", "larger than the overlap"])
def test_one_instance_a_cell_if_windows_disagree_by_a_pixel(kind: str, overlap: int) -> None:
    size = (200, 230)
    for seed in range(3):
        if kind == "tissue":
            cells = tissue(size, seed, 100)
            areas = np.bincount(cells.ravel())
            cells[np.isin(cells, np.flatnonzero(areas < 100))] = 0
        else:
            radii = (25, 50) if kind.startswith("larger") else (6, 14)
            cells = discs(size, seed, radii, gap=3 if kind == "apart" else 0)
        parts = cut(cells, (96, 88), overlap, jitter=1, seed=seed)
        found = stitch(parts, size, overlap)
        ids, areas = np.unique(cells[cells > 0], return_counts=True)
        masks = to_instance_data(found, size).masks.numpy()
        shared = np.array([[(mask & (cells == i)).sum() for i in ids] for mask in masks])
        iou = shared / (masks.sum((1, 2))[:, None] + areas - shared)
        assert len(found) == len(ids)
        assert sorted(iou.argmax(1)) == list(range(len(ids)))
        assert iou.max(1).min() > 0.5


def two_windows(left: list[NDArray], right: list[NDArray], **values: list) -> list:
    """Windows of columns 0 to 40 and 24 to 64 (overlap 16) with masks of the whole (30, 64)."""
    parts = []
    for name, start, masks in (("left", 0, left), ("right", 24, right)):
        view = np.array(masks, dtype=bool).reshape(-1, 30, 64)[:, :, start : start + 40]
        count = len(view)
        labels = values.get(f"{name}_labels", [0] * count)
        scores = values.get(f"{name}_scores", [0.5] * count)
        parts.append(WindowPrediction(0, start, view, np.array(labels), np.array(scores)))
    return parts


def bar(start: int, stop: int, top: int = 10, bottom: int = 20) -> NDArray:
    mask = np.zeros((30, 64), dtype=bool)
    mask[top:bottom, start:stop] = True
    return mask


def stitch_two(*args: list, **values: list) -> tuple[list[NDArray], list]:
    found = stitch(two_windows(*args, **values), (30, 64), 16)
    return list(to_instance_data(found, (30, 64)).masks.numpy()), found


def test_a_cell_complete_in_two_windows_is_kept_once() -> None:
    masks, _ = stitch_two([bar(27, 37)], [bar(27, 37)])
    assert len(masks) == 1
    assert np.array_equal(masks[0], bar(27, 37))


def test_the_score_of_a_joined_cell_is_weighted_by_area() -> None:
    # 35 of 40 columns are visible on the left, 36 of 40 on the right.
    cell = bar(5, 60)
    masks, found = stitch_two([cell], [cell], left_scores=[0.9], right_scores=[0.2])
    assert len(masks) == 1
    assert np.array_equal(masks[0], cell)
    assert found[0].score == pytest.approx((35 * 0.9 + 36 * 0.2) / 71)


def test_each_pixel_comes_from_the_window_that_sees_it_deepest() -> None:
    masks, _ = stitch_two([bar(10, 64, 10, 18)], [bar(10, 64, 12, 20)])
    expected = bar(10, 32, 10, 18) | bar(32, 64, 12, 20)
    assert len(masks) == 1
    assert np.array_equal(masks[0], expected)


def test_a_cell_that_only_one_window_found_stays_whole() -> None:
    masks, _ = stitch_two([bar(20, 38)], [])
    assert len(masks) == 1
    assert np.array_equal(masks[0], bar(20, 38))


def test_a_sliver_at_the_border_of_a_window_is_left_to_the_neighbour() -> None:
    masks, _ = stitch_two([bar(35, 50)], [bar(35, 50)])
    assert len(masks) == 1
    assert np.array_equal(masks[0], bar(35, 50))
    # Less than 3/8 of the overlap is visible, and the neighbour says that there is nothing.
    assert stitch_two([bar(35, 50)], [])[0] == []


def test_a_remainder_within_a_larger_instance_is_dropped() -> None:
    # In the overlap, the pieces have an IoU of 0.2 only.
    masks, _ = stitch_two([bar(2, 40, 5, 25)], [bar(24, 38, 10, 14)])
    assert len(masks) == 1
    assert np.array_equal(masks[0], bar(2, 40, 5, 25))


def test_cells_that_a_window_saw_side_by_side_are_both_kept() -> None:
    large, small = bar(2, 40, 5, 25), bar(26, 38, 10, 14)
    assert len(stitch_two([large, small], [])[0]) == 2
    assert len(stitch_two([large, small], [large, small])[0]) == 2


def test_touching_cells_on_both_sides_of_a_seam_stay_two() -> None:
    for seam in (25, 30, 32, 36, 39):
        one, two = bar(8, seam), bar(seam, 60)
        masks, _ = stitch_two([one, two], [one, two])
        assert len(masks) == 2
        assert {mask.tobytes() for mask in masks} == {one.tobytes(), two.tobytes()}


def test_a_piece_is_joined_with_its_best_partner_only() -> None:
    # The right window splits the cell; the smaller part has an IoU of 0.4.
    masks, _ = stitch_two([bar(5, 40)], [bar(24, 60, 10, 16), bar(24, 60, 16, 20)])
    assert len(masks) == 2
    assert np.array_equal(masks[0], bar(5, 32) | bar(32, 60, 10, 16))
    assert np.array_equal(masks[1], bar(24, 60, 16, 20))


def test_a_cell_with_another_label_in_each_window_gets_the_label_with_more_area_and_score() -> None:
    cell = bar(5, 60)
    # 35 columns on the left, 36 on the right.
    for left, right, label in ((0.5, 0.5, 2), (0.6, 0.5, 1)):
        masks, found = stitch_two(
            [cell],
            [cell],
            left_labels=[1],
            right_labels=[2],
            left_scores=[left],
            right_scores=[right],
        )
        assert [mask.sum() for mask in masks] == [550]
        assert [instance.label for instance in found] == [label]
        assert found[0].score == pytest.approx((35 * left + 36 * right) / 71)


def test_a_part_of_the_same_label_goes_first() -> None:
    # In the common part the nucleus has an IoU of 0.8 with the cell.
    cell, nucleus = bar(5, 60), bar(25, 50, 10, 18)
    masks, found = stitch_two(
        [cell, nucleus], [nucleus, cell], left_labels=[0, 1], right_labels=[1, 0]
    )
    assert {(m.tobytes(), f.label) for m, f in zip(masks, found, strict=True)} == {
        (cell.tobytes(), 0),
        (nucleus.tobytes(), 1),
    }
    # The left window has both labels for the cell, the right one knows the second only.
    masks, found = stitch_two([cell, cell], [cell], left_labels=[0, 1], right_labels=[1])
    assert sorted((f.label, int(m.sum())) for m, f in zip(masks, found, strict=True)) == [
        (0, 350),
        (1, 550),
    ]


def test_other_labels_need_an_iou_of_a_half() -> None:
    # The windows share columns 26 to 38, of which the right piece has 4 of 10 rows.
    for rows, count in ((4, 2), (5, 1)):
        masks, _ = stitch_two(
            [bar(5, 40)], [bar(24, 60, 10, 10 + rows)], left_labels=[1], right_labels=[2]
        )
        assert len(masks) == count


def dense_suppress(
    objects: list[StitchedInstance | None], seen: list[set[int]], nms_iou: float
) -> list[StitchedInstance]:
    """The rules of the suppression on matrices of all pairs."""
    kept = [(one, windows) for one, windows in zip(objects, seen, strict=True) if one is not None]
    kept.sort(key=lambda pair: -pair[0].crop.area)
    for by_score in (False, True):
        if by_score:
            kept.sort(key=lambda pair: -pair[0].score)
        areas = np.array([one.crop.area for one, _ in kept])
        shared = np.array([[shared_pixels(a.crop, b.crop) for a, _ in kept] for b, _ in kept])
        together = np.array([[bool(v & w) for _, v in kept] for _, w in kept])
        labels = np.array([one.label for one, _ in kept])
        if by_score:
            conflicts = shared > nms_iou * (areas[:, None] + areas - shared)
        else:
            conflicts = (shared > 0.5 * np.minimum(areas[:, None], areas)) & ~together
        conflicts &= labels[:, None] == labels
        keep = greedy_keep(torch.from_numpy(conflicts)).numpy()
        kept = [pair for pair, stays in zip(kept, keep, strict=True) if stays]
    return [one for one, _ in kept]


def test_the_suppression_equals_the_one_on_matrices() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        objects: list[StitchedInstance | None] = [None]
        for _ in range(120):
            place, size = rng.integers(0, 70, 2), rng.integers(1, 25, 2)
            crop = MaskCrop(*place.tolist(), np.ones(size, dtype=bool))
            one = StitchedInstance(crop, int(rng.integers(2)), float(rng.integers(9)) / 9)
            objects += [one, one._replace(score=one.score / 2)] if rng.random() < 0.3 else [one]
        seen = [set(rng.integers(0, 9, 2).tolist()) for _ in objects]
        found = _suppress(objects, seen, 0.6)
        expected = dense_suppress(objects, seen, 0.6)
        assert 20 < len(expected) < len(objects) - 20
        assert [id(one) for one in found] == [id(one) for one in expected]


def test_duplicates_are_suppressed_over_the_whole_image() -> None:
    one, two = bar(2, 20), bar(2, 21)
    masks, found = stitch_two([one, two], [], left_scores=[0.9, 0.3])
    assert len(masks) == 1
    assert found[0].score == pytest.approx(0.9)


def test_the_best_score_comes_first() -> None:
    _, found = stitch_two(
        [bar(0, 6), bar(10, 16)], [bar(50, 55)], left_scores=[0.2, 0.9], right_scores=[0.5]
    )
    assert [instance.score for instance in found] == pytest.approx([0.9, 0.5, 0.2])


def test_windows_without_instances() -> None:
    masks, found = stitch_two([], [])
    assert masks == found == []
    data = to_instance_data(stitch([], (9, 7), 2), (9, 7))
    assert data.masks.shape == (0, 9, 7)
    assert data.bboxes.shape == (0, 4)
    assert to_instance_data([], (9, 7), rle=True).masks == []


def test_rle_equals_the_tensor() -> None:
    cells = discs((90, 120), 0, (3, 20))
    found = stitch(cut(cells, (48, 48), 16), cells.shape, 16)
    plain, coded = (to_instance_data(found, cells.shape, rle=rle) for rle in (False, True))
    assert len(plain) == len(coded) == cells.max()
    assert np.array_equal(
        np.stack([rle_tools.decode(rle) for rle in coded.masks]), plain.masks.numpy()
    )
    for box, rle in zip(plain.bboxes.tolist(), coded.masks, strict=True):
        x, y, width, height = rle_tools.toBbox(rle)
        assert box == [x, y, x + width, y + height]


def test_windows_are_read_one_by_one_and_only_crops_are_kept() -> None:
    cells = discs((90, 120), 0, (3, 20))
    alive = []

    def generate() -> Iterator[WindowPrediction]:
        for part in cut(cells, (48, 48), 16):
            masks = part.masks.copy()
            alive.append(weakref.ref(masks))
            yield part._replace(masks=masks)
            del masks
            assert all(reference() is None for reference in alive[:-1])

    found = stitch(generate(), cells.shape, 16)
    assert len(found) == cells.max()
    boxes = [slices for slices in ndimage.find_objects(cells) if slices]
    pixels = sum(cells[slices].size for slices in boxes)
    assert sum(instance.crop.mask.nbytes for instance in found) == pixels
    assert all(instance.crop.mask.base is None for instance in found)


def test_a_window_beyond_the_image_is_refused() -> None:
    part = WindowPrediction(0, 30, np.zeros((0, 30, 40), dtype=bool), [], [])
    with pytest.raises(ValueError, match=r"does not lie within the image of \(H, W\) = \(30, 64\)"):
        stitch([part], (30, 64), 16)
