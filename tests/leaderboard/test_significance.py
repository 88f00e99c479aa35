"""The test against the best row, against other implementations of its parts."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from attnseg.evaluation.bootstrap import paired_differences
from attnseg.leaderboard.records import Record, read_record
from attnseg.leaderboard.significance import Sampler, row_differences
from tests.leaderboard.factory import measured_run, record, table, write_run


def test_single_runs_agree_with_paired_differences(tmp_path: Path) -> None:
    records = [read_record(measured_run(tmp_path, name, q)) for name, q in (("a", 0.7), ("b", 0.6))]
    sampler = Sampler("semantic/mIoU", resamples=400)
    draws = [[sampler.draw(record)] for record in records]
    values = [[record.metrics["semantic/mIoU"].value] for record in records]
    none, found = row_differences(draws, values)
    assert none is None
    want = paired_differences(table(0.6, seed=600), table(0.7, seed=700), resamples=400)["mIoU"]
    assert found.delta == pytest.approx(want.delta, abs=1e-15)
    # The images are drawn in the order of their names in both, so the draws are the same.
    assert (found.low, found.high) == pytest.approx((want.low, want.high), abs=1e-12)


def test_without_image_variance_it_is_students_t() -> None:
    a, b = [0.5, 0.53, 0.59], [0.61, 0.64]
    rows = [[np.full(100, value) for value in values] for values in (b, a)]
    _, found = row_differences(rows, [b, a])
    want = scipy.stats.ttest_ind(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((want.low, want.high), rel=1e-9)
    assert not found.distinguishable


def test_without_seed_variance_it_is_the_normal_interval() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.01, (2, 50_000))
    values = [[0.53], [0.5, 0.5]]
    _, found = row_differences([[draws[1]], [draws[0]] * 2], values)
    half = 1.959964 * np.sqrt(2) * 0.01
    assert (found.low, found.high) == pytest.approx((-0.03 - half, -0.03 + half), rel=0.02)


def test_two_seeds_do_not_make_a_lucky_single_run_the_best() -> None:
    constant = [np.full(10, value) for value in (0.409, 0.356, 0.411)]
    _, found = row_differences([constant[2:], constant[:2]], [[0.411], [0.409, 0.356]])
    assert not found.distinguishable


def test_coverage_over_images_and_seeds() -> None:
    """Two equal methods are told apart in about 5 % of repetitions."""
    generator = np.random.default_rng(0)
    images, seeds, repetitions, wrong = 60, 3, 300, 0
    for _ in range(repetitions):
        ease = generator.normal(0, 0.1, images)
        scores = ease + generator.normal(0, 0.05, (2, seeds, images))
        scores += generator.normal(0, 0.01, (2, seeds, 1))
        drawn = generator.integers(0, images, (200, images))
        rows = [[run[drawn].mean(axis=1) for run in method] for method in scores]
        _, found = row_differences(rows, scores.mean(axis=2).tolist())
        wrong += found.distinguishable
    assert wrong / repetitions < 0.08


def test_other_images_are_refused(tmp_path: Path) -> None:
    sampler = Sampler("semantic/mIoU", resamples=10)

    def run(name: str, **options) -> Record:
        content = record(name, {"semantic/mIoU": {"value": 0.5}})
        return read_record(write_run(tmp_path / name, content, table(0.5, **options)))

    sampler.draw(run("a"))
    # Where the files lie does not matter.
    sampler.draw(run("b", folder="/elsewhere"))
    with pytest.raises(ValueError, match="other images"):
        sampler.draw(run("c", images=39))
    with pytest.raises(ValueError, match="other classes"):
        sampler.draw(run("d", classes=("sky", "road", "car")))
