"""Pictures of results."""

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from attnseg.apis.overlay import draw_overlay
from attnseg.apis.segmentation import Instance, Segment, Segmentation, failed, to_text

IMAGE = np.full((30, 40, 3), 100, np.uint8)
CLASSES = ("cell", "Grün и 地")


def square(top: int, left: int, size: int = 10) -> np.ndarray:
    mask = np.zeros(IMAGE.shape[:2], np.uint8)
    mask[top : top + size, left : left + size] = 1
    return mask


def instance(mask: np.ndarray, label: int = 0, score: float = 0.9) -> Instance:
    rle = to_text(rle_tools.encode(np.asfortranarray(mask)))
    return Instance(label, CLASSES[label], score, rle)


def test_objects_have_colours_of_their_own_and_the_rest_is_the_image() -> None:
    masks = [square(2, 2), square(15, 20), square(5, 8)]
    found = tuple(instance(mask) for mask in masks)
    picture = draw_overlay(Segmentation("a", IMAGE, CLASSES[:1], instances=found))
    assert picture.shape == (30 * 12, 40 * 12, 3)
    inside = [picture[3 * 12 + 6, 3 * 12 + 6], picture[20 * 12, 25 * 12], picture[10 * 12, 15 * 12]]
    assert len({tuple(colour) for colour in inside}) == 3
    assert (picture[29 * 12 :, :] == 100).all()
    # The best lies above the others.
    assert abs(picture[8 * 12, 10 * 12].astype(int) - inside[0]).max() < 90


def test_names_stand_on_objects_and_in_the_legend() -> None:
    plain = draw_overlay(Segmentation("a", IMAGE, CLASSES[:1], instances=(instance(square(2, 2)),)))
    named = draw_overlay(Segmentation("a", IMAGE, CLASSES, instances=(instance(square(2, 2)),)))
    assert plain.shape == named.shape and (plain != named).any()
    labels = np.full((30, 40), 2, np.int32)
    labels[:, 20:] = 1
    picture = draw_overlay(Segmentation("a", IMAGE, CLASSES, semantic=labels))
    assert picture.shape == (30 * 12 + 22, 480, 3)
    assert (picture[:360, :240] == 100).all() and (picture[:360, 240:] != 100).any(-1).all()


def test_a_panoptic_map_is_drawn_before_the_others() -> None:
    ids = np.where(square(2, 2) > 0, 1001, np.where(np.arange(40) < 30, 2, 0)).astype(np.int32)
    segments = (Segment(1001, 0, "cell", True, 100), Segment(2, 1, CLASSES[1], False, 800))
    result = Segmentation("a", IMAGE, CLASSES, panoptic=ids, segments=segments, instances=())
    picture = draw_overlay(result)
    assert picture.shape == (382, 480, 3)
    assert (picture[:360, 30 * 12 :] == 100).all()
    assert (picture[300, 200] != 100).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 3)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    labels = np.zeros(size, np.int32)
    image = np.zeros((*size, 3), np.uint8)
    names = tuple(f"class number {number}" for number in range(30))
    labels.ravel()[:] = np.arange(labels.size) % 30
    picture = draw_overlay(Segmentation("a", image, names, semantic=labels))
    assert picture.shape[0] > size[0] and max(picture.shape) >= 480


def test_nothing_found_and_nothing_read() -> None:
    picture = draw_overlay(Segmentation("a", IMAGE, CLASSES, instances=()))
    assert (picture == 100).all()
    with pytest.raises(ValueError, match="'a' was not segmented: broken"):
        draw_overlay(failed("a", "broken"))
