"""AP of resampled images: pycocotools run on lists that hold images several times."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnseg.evaluation import CocoInstanceMetric
from attnseg.evaluation.functional import ap_curve
from attnseg.evaluation.functional.ap_curve import (
    RECALL_LEVELS,
    recall_levels,
    sort_detections,
    split_copies,
)
from attnseg.evaluation.scores import score
from attnseg.per_image import PerImageTable, read_tables, write_tables
from tests.evaluation.coco_cases import (
    AREAS,
    CLASSES,
    MAX_DETS,
    Detection,
    Image,
    Object,
    data_samples,
    images,
    pycocotools_evaluation,
    values_of,
)

BOX, FAR = (0, 0, 2, 2), (4, 4, 2, 2)
# One score for a right and two wrong detections: copies of the image interleave.
TIED = Image(
    [Object(0, BOX), Object(1, BOX)],
    [Detection(0, FAR, 0.5), Detection(0, BOX, 0.5), Detection(0, FAR, 0.5)],
)
PLAIN = Image([Object(0, BOX)], [Detection(0, BOX, 0.9), Detection(1, FAR, 0.5)])


def _evaluate(case: Sequence[Image]) -> tuple[dict[str, float], PerImageTable]:
    metric = CocoInstanceMetric(
        max_dets=MAX_DETS, area_ranges=AREAS, iou_type="bbox", classwise=True, prefix=None
    )
    metric.dataset_meta = {"classes": CLASSES}
    metric.process(None, data_samples(case))
    values = metric.evaluate(len(case))
    assert metric.table is not None
    return values, metric.table


def _agree(
    found: dict[str, np.ndarray], expected: dict[str, float], row: int, bound: float
) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key][row] == pytest.approx(value, abs=bound, nan_ok=True), key


@settings(deadline=None, max_examples=100)
@given(images())
@example([TIED, PLAIN])
def test_agrees_with_faster_coco_eval(case: list[Image]) -> None:
    """The metric's values are faster-coco-eval's, those of its table ours."""
    values, table = _evaluate(case)
    _agree(score(table), values, 0, 1e-12)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_agrees_with_pycocotools_on_repeated_images(data: st.DataObject) -> None:
    case = data.draw(images(least=1))
    row = st.lists(st.integers(0, 4), min_size=len(case), max_size=len(case))
    weights = np.array(data.draw(st.lists(row, min_size=1, max_size=3)))
    # A row in which no image is drawn defines nothing; pycocotools cannot run on it.
    weights = np.vstack([weights, np.zeros(len(case), dtype=int)])
    found = score(_evaluate(case)[1], weights)
    for index, copies in enumerate(weights[:-1]):
        if copies.any():
            evaluation = pycocotools_evaluation(case, copies)
            _agree(found, values_of(evaluation, CLASSES, list(AREAS), MAX_DETS), index, 1e-9)
    assert all(np.isnan(value[-1]) for value in found.values())


def test_copies_of_tied_detections_interleave() -> None:
    """Two copies of wrong, right, wrong: precision is 1/2 at the first hit and 2/5 at the last."""
    _, table = _evaluate([TIED])
    found = score(table, np.array([[1], [2]]))
    levels = RECALL_LEVELS <= 0.5
    assert found["AP/a"][0] == pytest.approx(1 / 2)
    assert found["AP/a"][1] == pytest.approx(np.where(levels, 1 / 2, 2 / 5).mean())


def test_only_ties_that_matter_are_split() -> None:
    """Entries: image 0 has a mixed tie, image 1 two right ones, image 2 a lone detection."""
    detections = sort_detections(
        image=np.array([2, 1, 1, 0, 0]),
        score=np.array([0.5, 0.5, 0.5, 0.5, 0.5]),
        rank=np.array([0, 1, 0, 1, 0]),
        matched=np.array([[1], [1], [1], [1], [0]], dtype=np.uint16),
        ignored=np.zeros((5, 1), dtype=np.uint16),
        thresholds=1,
    )
    assert detections.image.tolist() == [0, 0, 1, 1, 2]
    split = split_copies(detections, np.array([2, 3, 3]))
    assert split.image.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert split.copy.tolist() == [0, 0, 1, 1, -1, -1, -1]
    assert split.hit[0, 0].tolist() == [False, True, False, True, True, True, True]
    assert split_copies(detections, np.ones(3, dtype=int)) is detections


def test_recall_levels_are_reached_as_floating_point_says() -> None:
    """7 of 10 are 0.7, which is less than entry 70 of COCO's list, 0.7000000000000001."""
    totals = np.array([0, *range(1, 400), 11004])
    reached, offset = recall_levels(totals, np.dtype(np.int64))
    assert reached.dtype == np.uint8
    for total, start in zip(totals[1:], offset[1:, 0], strict=True):
        recalls = np.arange(total + 1) / total
        expected = np.searchsorted(RECALL_LEVELS, recalls, side="right")
        np.testing.assert_array_equal(reached[start : start + total + 1], expected)


def test_classes_without_objects_in_a_resample_are_left_out() -> None:
    only_a = Image([Object(0, BOX)], [Detection(0, BOX, 0.9), Detection(1, BOX, 0.9)])
    only_b = Image([Object(1, BOX)], [])
    _, table = _evaluate([only_a, only_b])
    found = score(table, np.array([[1, 0], [0, 1], [3, 2]]))
    assert found["AP/a"].tolist() == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert found["AP/b"].tolist() == pytest.approx([np.nan, 0, 0], nan_ok=True)
    assert found["AP"].tolist() == pytest.approx([1, 0, 0.5])


def test_perfect_detections_are_perfect_in_every_resample() -> None:
    boxes = [(3 * (i % 20), 3 * (i // 20), 2, 2) for i in range(300)]
    case = [
        Image(
            [Object(0, box) for box in boxes],
            [Detection(0, box, i / 300) for i, box in enumerate(boxes)],
        )
    ] * 3
    metric = CocoInstanceMetric(max_dets=(1, 100, 300), iou_type="bbox")
    metric.dataset_meta = {"classes": ("cell",)}
    metric.process(None, data_samples(case))
    assert metric.evaluate(3)["coco/AP"] == 1.0
    found = score(metric.table, np.array([[1, 1, 1], [3, 0, 0], [2, 7, 1]]))
    for key in ("AP", "AP50", "AP75", "APs", "AR", "AR@300", "AP/cell"):
        assert found[key].tolist() == [1.0, 1.0, 1.0], key
    assert found["AR@100"] == pytest.approx([1 / 3] * 3)


def test_portions_of_resamples_do_not_show(monkeypatch) -> None:
    _, table = _evaluate([TIED, PLAIN, TIED])
    weights = np.random.default_rng(0).integers(0, 4, (20, 3))
    whole = score(table, weights)
    monkeypatch.setattr(ap_curve, "_CHUNK_BYTES", 1)
    alone = [score(table, row[None]) for row in weights]
    for key, values in score(table, weights).items():
        np.testing.assert_array_equal(values, whole[key])
        np.testing.assert_array_equal(values, np.concatenate([one[key] for one in alone]))


def test_table_survives_its_file(tmp_path) -> None:
    _, table = _evaluate([TIED, PLAIN])
    write_tables(tmp_path / "per_image.npz", [table])
    again = read_tables(tmp_path / "per_image.npz")["CocoInstanceMetric"]
    weights = np.array([[1, 1], [0, 3]])
    found = score(again, weights)
    for key, value in score(table, weights).items():
        np.testing.assert_array_equal(found[key], value)


def test_intervals_have_the_keys_and_values_of_the_metric() -> None:
    metric = CocoInstanceMetric(iou_type="bbox", classwise=True)
    metric.dataset_meta = {"classes": CLASSES}
    metric.process(None, data_samples([TIED, PLAIN, TIED]))
    values = metric.evaluate(3)
    intervals = metric.intervals(resamples=50)
    assert intervals.keys() == values.keys()
    for key, interval in intervals.items():
        assert interval.value == pytest.approx(values[key], abs=1e-12, nan_ok=True)
    assert intervals["coco/AP"].low < values["coco/AP"] < intervals["coco/AP"].high


def test_damaged_table_is_refused() -> None:
    _, table = _evaluate([TIED, PLAIN])
    damaged = {**table.arrays, "det_image": table.arrays["det_image"] + 1}
    with pytest.raises(ValueError, match="'det_image' names image 2, but the table has 2 images"):
        score(dataclasses.replace(table, arrays=damaged))
