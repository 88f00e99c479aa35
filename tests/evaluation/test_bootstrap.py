import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats

from attnseg.evaluation.bootstrap import intervals, paired_differences, resample_weights
from attnseg.evaluation.functional import AreaStatistics
from attnseg.evaluation.scores import score
from attnseg.per_image import ImageRef, PerImageTable


def areas(
    intersect: Sequence[Sequence[int]], union: Sequence[Sequence[int]], **fields: object
) -> PerImageTable:
    """A semantic table; prediction and label share what is not intersection equally."""
    i, u = np.array(intersect), np.array(union)
    extra = (u - i) // 2
    stats = AreaStatistics(i, u, i + extra, u - extra)
    classes = tuple(f"c{k}" for k in range(i.shape[1]))
    images = tuple(ImageRef(k, "") for k in range(len(i)))
    values = {"settings": {}, "classes": classes, "images": images} | fields
    return PerImageTable("SemanticMetric", "semantic", arrays=stats._asdict(), **values)


def random_areas(n: int, classes: int = 1, seed: int = 0, quality: float = 0.6) -> PerImageTable:
    generator = np.random.default_rng(seed)
    union = generator.integers(50, 1000, (n, classes))
    return areas(generator.binomial(union, quality), union)


def test_every_resample_draws_as_many_images_as_there_are() -> None:
    weights = resample_weights(37, 200, seed=3)
    assert weights.shape == (200, 37)
    assert (weights.sum(axis=1) == 37).all()
    np.testing.assert_array_equal(weights, resample_weights(37, 200, seed=3))
    assert (weights != resample_weights(37, 200, seed=4)).any()
    # The mean count of an image is one, its variance 1 - 1/n.
    assert weights.mean() == 1
    assert weights.var() == pytest.approx(1 - 1 / 37, rel=0.05)


def test_resamples_equal_a_literal_loop() -> None:
    table = random_areas(9, classes=3)
    weights = resample_weights(9, 5, seed=0)
    values = score(table, weights)
    for r, row in enumerate(weights):
        drawn = np.repeat(np.arange(9), row)
        i, u = (table.arrays[k][drawn].sum(axis=0) for k in ("intersect", "union"))
        assert values["mIoU"][r] == pytest.approx((i / u).mean(), rel=1e-14)
        assert values["IoU/c1"][r] == pytest.approx(i[1] / u[1], rel=1e-14)


def test_interval_agrees_with_scipy() -> None:
    table = random_areas(60)
    ours = intervals(table, resamples=4000)["mIoU"]
    i, u = (table.arrays[key][:, 0].astype(float) for key in ("intersect", "union"))
    theirs = scipy.stats.bootstrap(
        (i, u),
        lambda i, u, axis: i.sum(axis=axis) / u.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == i.sum() / u.sum()
    assert ours.low == pytest.approx(theirs.low, abs=0.08 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.08 * width)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(200):
        found = intervals(random_areas(40, seed=seed), resamples=200, level=0.9)["mIoU"]
        hits += found.low <= 0.6 <= found.high
    assert 0.84 <= hits / 200 <= 0.95


def detections(generator: np.random.Generator, images: int = 30) -> PerImageTable:
    """Images with some objects and scored detections, right ones tending to higher scores."""
    objects = generator.poisson(2, images)
    found = generator.poisson(3, images)
    image = np.repeat(np.arange(images), found)
    rank = np.arange(len(image)) - np.repeat(np.cumsum(found) - found, found)
    score_ = generator.normal(size=len(image))
    # Of an image, at most as many detections are right as there are objects.
    right = (generator.normal(size=len(image)) < score_) & (rank < objects[image])
    bits = np.where(right, np.uint16(1023), np.uint16(0))[:, None]
    arrays = {
        "det_image": image,
        "det_class": np.zeros_like(image),
        "det_score": score_,
        "det_rank": rank,
        "det_matched": bits,
        "det_ignored": np.zeros_like(bits),
        "gt_image": np.arange(images),
        "gt_class": np.zeros(images, dtype=int),
        "gt_count": objects[:, None],
        "is_thing": np.ones(1, dtype=bool),
    }
    settings = {"max_dets": [100], "area_ranges": {}}
    refs = tuple(ImageRef(i, "") for i in range(images))
    return PerImageTable("CocoInstanceMetric", "coco", settings, ("thing",), refs, arrays)


def test_intervals_of_ap_cover_what_other_images_give() -> None:
    generator = np.random.default_rng(0)
    expected = np.mean([score(detections(generator))["AP"][0] for _ in range(2000)])
    found = [intervals(detections(generator), resamples=200)["AP"] for _ in range(200)]
    covered = np.mean([i.low <= expected <= i.high for i in found])
    assert 0.88 <= covered <= 0.98
    assert all(i.low <= i.value <= i.high for i in found)


def test_bounds_stay_within_what_can_occur() -> None:
    union = np.full((10, 1), 100)
    intersect = union.copy()
    intersect[0] = 10
    found = intervals(areas(intersect, union))["mIoU"]
    assert found.low < found.value < found.high <= 1


def test_a_class_that_is_not_drawn_is_left_out() -> None:
    table = areas([[5, 3], [8, 0], [6, 0]], [[10, 4], [10, 0], [10, 0]])
    found = intervals(table, resamples=200)
    assert found["IoU/c1"] == (0.75, 0.75, 0.75)
    nothing = intervals(areas([[5, 0]], [[10, 0]]), resamples=20)["IoU/c1"]
    assert np.isnan(nothing).all()


def test_no_image() -> None:
    empty = areas(np.zeros((0, 2), int), np.zeros((0, 2), int))
    assert all(np.isnan(interval).all() for interval in intervals(empty).values())


def test_a_run_against_itself() -> None:
    table = random_areas(20, classes=2)
    found = paired_differences(table, table, resamples=100)
    assert set(found) == set(score(table))
    for difference in found.values():
        assert difference[2:] == (0, 0, 0, 0.5)


def test_pairing_sees_what_separate_intervals_hide() -> None:
    generator = np.random.default_rng(0)
    # Images differ much more from each other than the runs do.
    union = np.full((50, 1), 1000)
    worse = (generator.uniform(0.2, 0.9, (50, 1)) * 1000).astype(int)
    a, b = areas(worse + 10, union), areas(worse, union)
    single = [intervals(run, resamples=300)["mIoU"] for run in (a, b)]
    assert single[0].low < single[1].high
    difference = paired_differences(a, b, resamples=300)["mIoU"]
    assert difference.delta == pytest.approx(0.01)
    assert difference.low > 0
    assert difference.probability == 1
    back = paired_differences(b, a, resamples=300)["mIoU"]
    assert (back.delta, back.probability) == (-difference.delta, 0)


def test_images_are_paired_by_name_not_by_order() -> None:
    a = random_areas(15)
    order = np.random.default_rng(0).permutation(15)
    shuffled = PerImageTable(
        a.metric,
        a.prefix,
        a.settings,
        a.classes,
        tuple(a.images[i] for i in order),
        {key: values[order] for key, values in a.arrays.items()},
    )
    assert paired_differences(a, shuffled, resamples=50)["mIoU"][2:] == (0, 0, 0, 0.5)


def test_unequal_runs_are_refused() -> None:
    a = random_areas(4)
    with pytest.raises(ValueError, match=r"1 only in A \(3\)"):
        paired_differences(a, random_areas(3))
    with pytest.raises(ValueError, match="settings"):
        paired_differences(a, areas([[1]] * 4, [[2]] * 4, settings={"ignore_index": 0}))
    with pytest.raises(ValueError, match="classes"):
        paired_differences(a, areas([[1]] * 4, [[2]] * 4, classes=("road",)))


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"level 95"):
        intervals(random_areas(3), level=95)
    with pytest.raises(ValueError, match="0 resamples"):
        intervals(random_areas(3), resamples=0)
    with pytest.raises(ValueError, match=r"\(1, 2\) do not fit 3"):
        score(random_areas(3), np.ones((1, 2), int))


def test_other_things_are_refused() -> None:
    table = detections(np.random.default_rng(0))
    arrays = dict(table.arrays) | {"is_thing": np.zeros(1, dtype=bool)}
    other = dataclasses.replace(table, arrays=arrays)
    with pytest.raises(ValueError, match="things"):
        paired_differences(table, other)


def test_statistics_that_lack_are_named() -> None:
    table = random_areas(3)
    arrays = {key: value for key, value in table.arrays.items() if key != "union"}
    with pytest.raises(ValueError, match="SemanticMetric.*'union'"):
        score(dataclasses.replace(table, arrays=arrays))
