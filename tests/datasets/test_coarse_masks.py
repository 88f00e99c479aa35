"""Coarse masks: the published recipe to the pixel, and masks of any object at any size."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from attnseg.datasets.coarse_masks import (
    MODES,
    dilate_mask,
    erode_mask,
    jitter_mask,
    mix_mask,
    object_rng,
    paint_mask,
    signed_distance,
)
from attnseg.datasets.ellipse_morphology import (
    dilate_ellipse,
    ellipse,
    erode_ellipse,
    open_ellipse,
)

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
masks = shapes.flatmap(lambda size: nps.arrays(np.uint8, size, elements=st.integers(0, 1)))


def blob(size: tuple[int, int], seed: int, share: float = 0.3) -> np.ndarray:
    """Smooth shapes that also touch the border."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random(size), (0, 0), 25)
    return (noise > np.quantile(noise, 1 - share)).astype(np.uint8)


def literal_recipe(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The published steps over the whole image, one after the other."""

    def disc(size: int) -> np.ndarray:
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))

    band = int(rng.integers(30, 41))
    rows, columns = np.nonzero(mask - cv2.erode(mask, disc(band)))
    coarse = mask.copy()
    for _ in range(int(rng.integers(2, 7))):
        at = int(rng.integers(len(rows)))
        bite = np.zeros_like(mask)
        radius = int(rng.integers(band // 4, band // 2 + 1))
        cv2.circle(bite, (int(columns[at]), int(rows[at])), radius, 1, -1)
        coarse &= 1 - bite
    opening = disc(int(rng.integers(band // 2, band + 1)))
    coarse = cv2.morphologyEx(coarse, cv2.MORPH_OPEN, opening) * 255
    blurred = cv2.GaussianBlur(coarse, (0, 0), float(rng.uniform(6, 12)))
    return (blurred > 127).astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_erode_is_the_published_recipe(seed: int) -> None:
    mask = blob((240, 320), seed)
    expected = literal_recipe(mask, object_rng(seed, 0, 0))
    # Else the published code takes another image.
    assert expected.sum() >= 50
    differ = erode_mask(mask, object_rng(seed, 0, 0)) != expected
    # The rounding of the blur in the recipe; 76,800 pixels.
    assert differ.sum() <= 25


@pytest.mark.parametrize("place", [0, 3, 20, 37, 38, 39, 60])
def test_the_window_changes_nothing_near_the_border(place: int) -> None:
    mask = np.zeros((230, 250), np.uint8)
    mask[place : place + 120, 250 - place - 130 : 250 - place] = 1
    for seed in range(3):
        expected = literal_recipe(mask, object_rng(seed, 0, 0))
        assert (erode_mask(mask, object_rng(seed, 0, 0)) != expected).sum() <= 25


@settings(max_examples=60, deadline=None)
@given(masks, st.integers(1, 45))
def test_ellipses_are_opencvs(mask: np.ndarray, size: int) -> None:
    kernel = ellipse(size)
    assert (erode_ellipse(mask, size) == cv2.erode(mask, kernel)).all()
    assert (dilate_ellipse(mask, size) == cv2.dilate(mask, kernel)).all()
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    assert (open_ellipse(mask, size) == opened).all()


@pytest.mark.parametrize("size", range(1, 46))
def test_ellipses_of_each_size_are_opencvs(size: int) -> None:
    holes = (np.random.default_rng(size).random((70, 90)) > 0.003).astype(np.uint8)
    kernel = ellipse(size)
    assert (erode_ellipse(holes, size) == cv2.erode(holes, kernel)).all()
    assert (dilate_ellipse(1 - holes, size) == cv2.dilate(1 - holes, kernel)).all()


def test_erosion_gives_a_mask_of_its_own() -> None:
    mask = np.ones((5, 5), np.uint8)
    erode_ellipse(mask, 1)[0, 0] = 0
    assert mask.all()


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40, deadline=None)
@given(mask=masks, seed=st.integers(0, 2**32))
def test_any_object_gets_a_mask(mode: str, mask: np.ndarray, seed: int) -> None:
    before = mask.copy()
    coarse = MODES[mode](mask, np.random.default_rng(seed))
    assert (mask == before).all()
    assert coarse.shape == mask.shape and coarse.dtype == np.uint8
    assert set(np.unique(coarse)) <= {0, 1}
    assert coarse.any() == mask.any()
    assert coarse.sum() >= min(50, mask.sum())
    coarse[:] = 1
    assert (mask == before).all()


@pytest.mark.parametrize("mode", MODES)
def test_one_pixel_and_whole_images(mode: str) -> None:
    one = np.zeros((31, 17), np.uint8)
    one[30, 0] = 1
    assert MODES[mode](one, np.random.default_rng(0), min_pixels=1).any()
    # Below the least number of pixels the object itself comes back, or more.
    assert MODES[mode](one, np.random.default_rng(0)).sum() >= 1
    whole = np.ones((64, 96), np.uint8)
    coarse = MODES[mode](whole, np.random.default_rng(0))
    assert coarse.sum() >= 50
    if mode in ("erode", "dilate", "jitter"):
        # No outline, so there is nothing to be wrong about.
        assert coarse.all()


def test_small_objects_are_drawn_again_and_with_less_width() -> None:
    mask = np.zeros((200, 200), np.uint8)
    cv2.circle(mask, (90, 100), 14, 1, -1)
    sizes = []
    for seed in range(30):
        # The published recipe leaves nothing of most of them.
        coarse = erode_mask(mask, object_rng(seed, 1, 1))
        assert coarse.sum() >= 50
        sizes.append(coarse.sum() / mask.sum())
    assert sum(literal_recipe(mask, object_rng(s, 1, 1)).sum() < 50 for s in range(30)) > 15
    assert 0.2 < np.mean(sizes) < 0.95


def test_the_modes_are_wrong_in_their_own_ways() -> None:
    shares = {mode: [] for mode in MODES}
    for seed in range(15):
        mask = blob((200, 240), seed, 0.2)
        for mode, draw in MODES.items():
            coarse = draw(mask, object_rng(seed, 1, 1))
            lost = (mask & (1 - coarse)).sum() / mask.sum()
            added = (coarse & (1 - mask)).sum() / mask.sum()
            shares[mode].append((lost, added))
    mean = {mode: np.mean(values, axis=0) for mode, values in shares.items()}
    assert mean["erode"][0] > 5 * mean["erode"][1]
    assert mean["dilate"][1] > 10 * mean["dilate"][0]
    assert mean["dilate"][1] > 0.15
    assert mean["paintbrush"][0] > 0.1
    assert min(mean["jitter"]) > 0.01 and max(mean["jitter"]) < 0.5


def test_the_brush_follows_the_middle() -> None:
    bar = np.zeros((80, 300), np.uint8)
    bar[25:56, 20:280] = 1
    painted = sum(paint_mask(bar, np.random.default_rng(i)).astype(int) for i in range(20))
    assert painted[40, 60:240].min() >= 10
    assert painted[:20].max() < painted[40].max() / 4


def test_noise_of_the_jitter_moves_the_outline_as_far_as_it_says() -> None:
    half = np.zeros((400, 400), np.uint8)
    half[100:300, 100:300] = 1
    moves = []
    for seed in range(40):
        coarse = jitter_mask(half, np.random.default_rng(seed))
        # The first row of the object, halfway along the upper side.
        moves.append(100 - int(np.argmax(coarse[:, 200])))
    # Deviations of 4 to 16 pixels and a bias of up to 10: 12 on average.
    assert 7 < np.std(moves) < 17
    assert abs(np.mean(moves)) < 6


def test_dilation_grows_the_object_by_what_it_says() -> None:
    mask = np.zeros((300, 300), np.uint8)
    cv2.circle(mask, (150, 150), 50, 1, -1)
    size = np.sqrt(mask.sum())
    away = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    for seed in range(20):
        reach = away[dilate_mask(mask, np.random.default_rng(seed)) > 0].max()
        assert 0.02 * size < reach < (0.18 + 0.05) * size


def test_signed_distance() -> None:
    row = np.array([[0, 0, 1, 1, 1, 0]], np.uint8)
    assert signed_distance(row).tolist() == [[-2, -1, 1, 2, 1, -1]]
    assert (signed_distance(np.zeros((3, 4), np.uint8)) == -5).all()
    assert (signed_distance(np.ones((3, 4), np.uint8)) == 5).all()


def test_a_mix_takes_its_modes_by_weight() -> None:
    mask = blob((90, 90), 0)

    def same(mode: str, weights: dict[str, float] | None, seed: int) -> bool:
        first, second = np.random.default_rng(seed), np.random.default_rng(seed)
        first.random()  # What the choice takes.
        return bool((MODES[mode](mask, first) == mix_mask(mask, second, weights)).all())

    assert all(same("jitter", {"erode": 0, "jitter": 3}, seed) for seed in range(5))
    found = {mode: sum(same(mode, None, s) for s in range(40)) for mode in MODES}
    assert min(found.values()) >= 3 and sum(found.values()) == 40


def test_generators_are_the_same_in_every_process() -> None:
    # A pinned number: Python's own hash() of texts is another in each process.
    assert object_rng(3, "a", 5).bit_generator.seed_seq.entropy == [3, 17657654754251686490]
    draws = {object_rng(*key).integers(1 << 62) for key in ((3, 1, 15), (3, 11, 5), (4, 1, 15))}
    assert len(draws) == 3
