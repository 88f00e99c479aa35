"""Measures of one mask against another, and their means over the objects of images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import directed_hausdorff

from attnseg.errors import InputError
from attnseg.evaluation.bootstrap import paired_differences
from attnseg.evaluation.functional import (
    boundary_iou,
    boundary_width,
    contour_iou,
    hausdorff,
    mask_scores,
    region_hausdorff,
)
from attnseg.evaluation.refinement_metric import RefinementMetric
from attnseg.evaluation.scores import score
from attnseg.leaderboard.columns import make_column
from attnseg.per_image import read_tables, write_tables

shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
pairs = shapes.flatmap(lambda size: nps.arrays(bool, (2, *size)))


def box(size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[rows, columns] = True
    return mask


def reference_hausdorff(first: np.ndarray, second: np.ndarray) -> float:
    points = np.argwhere(first), np.argwhere(second)
    return max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])


@settings(max_examples=150, deadline=None)
@given(pairs)
def test_region_hausdorff_equals_scipys(masks: np.ndarray) -> None:
    first, second = masks
    found = region_hausdorff(first, second)
    if first.any() and second.any():
        assert found == pytest.approx(reference_hausdorff(first, second), rel=1e-12, abs=0)
    elif first.any() or second.any():
        assert found == np.hypot(*first.shape)
    else:
        assert np.isnan(found)


def test_region_hausdorff_is_exact_over_a_large_image() -> None:
    first, second = (np.zeros((1100, 1600), dtype=bool) for _ in range(2))
    first[3, 5] = first[4, 5] = second[3, 5] = second[1097, 1593] = True
    # The far point is nearest to (4, 5).
    assert region_hausdorff(first, second) == float(np.sqrt(1093**2 + 1588**2))


def test_a_hole_counts_for_contours_only() -> None:
    truth = box((60, 60), slice(10, 50), slice(10, 50))
    pred = truth.copy()
    pred[28:32, 28:32] = False
    assert region_hausdorff(pred, truth) == 2
    # From the rim of the hole to the outline.
    assert hausdorff(pred, truth) == 27 - 10


@settings(max_examples=100, deadline=None)
@given(pairs)
def test_contour_iou_follows_its_definition(masks: np.ndarray) -> None:
    square = np.ones((3, 3), dtype=bool)
    # Beyond the border counts as inside.
    lines = [m & ~binary_erosion(m, square, border_value=1) for m in masks]
    union = (lines[0] | lines[1]).sum()
    found = contour_iou(*masks)
    assert np.isnan(found) if not union else found == (lines[0] & lines[1]).sum() / union


def test_the_images_border_is_no_contour() -> None:
    size = (20, 30)
    half = box(size, slice(None), slice(0, 15))
    # One column of 20 pixels each, which do not meet.
    assert contour_iou(half, box(size, slice(None), slice(0, 16))) == 0
    assert contour_iou(half, half) == 1
    assert np.isnan(contour_iou(np.ones(size, bool), np.ones(size, bool)))
    # Cheng et al. do see a boundary there.
    assert boundary_iou(np.ones(size, bool), np.ones(size, bool), 1) == 1


def test_scores_of_a_shifted_square() -> None:
    truth = box((100, 100), slice(20, 60), slice(20, 60))
    pred = box((100, 100), slice(20, 60), slice(24, 64))
    found = mask_scores(pred, truth)
    assert found.iou == 36 / 44
    assert found.accuracy == 1 - 2 * 4 * 40 / 100**2
    assert found.hausdorff == found.hd95 == 4
    # Contours of 156 pixels; the upper and lower lines share 36 pixels each.
    assert found.contour_iou == 72 / (2 * 156 - 72)
    assert found.boundary_iou == boundary_iou(pred, truth, boundary_width((100, 100)))


def test_scores_of_empty_masks_are_defined() -> None:
    none, some = np.zeros((30, 40), bool), box((30, 40), slice(3, 9), slice(3, 9))
    for pair in ((none, some), (some, none)):
        found = mask_scores(*pair)
        assert found[:3] == (0, 0, 0)
        assert found.hausdorff == found.hd95 == 50
    found = mask_scores(none, none)
    assert found.accuracy == 1
    assert np.isnan(found[:5]).all()


def sample(img_id: int, ann_id: Any, pred: Any, coarse: Any, truth: Any) -> dict[str, Any]:
    masks = {"pred_mask": pred, "coarse_mask": coarse, "gt_mask": truth}
    return {
        "img_id": img_id,
        "img_path": f"{img_id}.jpg",
        "ann_id": ann_id,
        "ori_shape": truth.shape,
        **{key: torch.from_numpy(np.array(mask)) for key, mask in masks.items()},
    }


@pytest.fixture
def samples() -> list[dict[str, Any]]:
    """Two images of three and one objects; the last prediction is empty."""
    rng = np.random.default_rng(0)
    found = []
    for number, img_id in enumerate((7, 7, 7, 4)):
        size = (40 + img_id, 50)
        truth = box(size, slice(5, 30), slice(5, 20 + 5 * number))
        coarse = box(size, slice(9, 30), slice(5, 20 + 5 * number))
        pred = truth & (rng.random(size) > 0.02)
        found.append(sample(img_id, number, pred & (number < 3), coarse, truth))
    return found


Evaluate = Callable[..., dict[str, float]]


def test_means_are_over_objects(evaluate: Evaluate, samples: list[dict[str, Any]]) -> None:
    values = evaluate(RefinementMetric(), ("thing",), samples)
    ious = [mask_scores(s["pred_mask"].numpy(), s["gt_mask"].numpy()).iou for s in samples]
    assert ious[-1] == 0
    assert values["IoU"] == pytest.approx(np.mean(ious))
    assert values["coarse_IoU"] == pytest.approx(21 / 25)
    assert values["gain_IoU"] == pytest.approx(values["IoU"] - values["coarse_IoU"])
    assert values["coarse_Hausdorff"] == 4
    assert values["gain_HD95"] == values["coarse_HD95"] - values["HD95"]
    assert len(values) == 18
    assert np.isfinite(list(values.values())).all()


def test_no_order_and_no_repetition_matters(
    evaluate: Evaluate, samples: list[dict[str, Any]]
) -> None:
    first = evaluate(RefinementMetric(), ("thing",), samples)
    assert evaluate(RefinementMetric(), ("thing",), [*samples[::-1], samples[0]]) == first
    again = RefinementMetric()
    again.dataset_meta = {"classes": ("thing",)}
    for part in (samples[2:], samples[:3]):
        again.process(None, part)
    assert again.compute_metrics(again.results) == first


def test_rows_are_images_and_give_intervals_and_pairs(
    evaluate: Evaluate, samples: list[dict[str, Any]], tmp_path: Any
) -> None:
    metric = RefinementMetric()
    values = evaluate(metric, ("thing",), samples)
    assert [image.id for image in metric.table.images] == [4, 7]
    assert metric.table.arrays["objects"].tolist() == [1, 3]
    write_tables(tmp_path / "per_image.npz", [metric.table])
    table = read_tables(tmp_path / "per_image.npz")["refine"]
    assert {key: value[0] for key, value in score(table).items()} == values
    # Image 4 alone, whose prediction is empty.
    alone = score(table, np.array([[1, 0], [0, 1]]))
    assert alone["IoU"][0] == 0
    assert alone["IoU"][1] * 3 / 4 == pytest.approx(values["IoU"])
    interval = metric.intervals(resamples=50)["refine/IoU"]
    assert interval.low <= values["IoU"] <= interval.high
    better = RefinementMetric()
    evaluate(better, ("thing",), [{**s, "pred_mask": s["gt_mask"]} for s in samples])
    found = paired_differences(better.table, metric.table, resamples=50)["IoU"]
    assert found.delta == pytest.approx(1 - values["IoU"])


def test_other_coarse_masks_are_another_task(
    evaluate: Evaluate, samples: list[dict[str, Any]]
) -> None:
    def settings_of(chosen: list[dict[str, Any]]) -> dict[str, Any]:
        metric = RefinementMetric()
        evaluate(metric, ("thing",), chosen)
        assert metric.table.settings == metric.settings
        return metric.settings

    first = settings_of(samples)
    assert first["objects"] == 4
    better = [{**s, "pred_mask": s["gt_mask"]} for s in samples]
    assert settings_of(better[::-1]) == first
    other = {**samples[0], "coarse_mask": samples[0]["gt_mask"]}
    assert settings_of([other, *samples[1:]])["coarse"] != first["coarse"]
    assert settings_of(samples[1:]) != first


def test_nothing_to_compare_is_nan_and_not_an_error(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(RefinementMetric, "log", lambda self, text, *_: said.append(text))
    none = np.zeros((9, 11), dtype=bool)
    values = evaluate(RefinementMetric(), ("thing",), [sample(1, 1, ~none, none, none)])
    assert len(values) == 18 and np.isnan(list(values.values())).all()
    assert "1 of 1 objects" in said[0] and "no object to compare" in said[-1]


def test_objects_without_truth_count_for_nothing(
    evaluate: Evaluate, samples: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty truth is met by an empty coarse mask, and missed by any prediction."""
    said: list[str] = []
    monkeypatch.setattr(RefinementMetric, "log", lambda self, text, *_: said.append(text))
    expected = evaluate(RefinementMetric(), ("thing",), samples)
    assert not [text for text in said if "left out" in text]
    none, some = np.zeros((47, 50), dtype=bool), np.ones((47, 50), dtype=bool)
    empty = [sample(7, 10, some, none, none), sample(9, 11, none, some, none)]
    metric = RefinementMetric()
    assert evaluate(metric, ("thing",), [*empty, *samples, empty[0]]) == expected
    assert metric.settings["objects"] == 4
    (line,) = (text for text in said if "left out" in text)
    assert "2 of 6 objects" in line
    # Every object was evaluated: their number differs from the data set's by the repeated one.
    assert any(
        text.startswith("6 different images were evaluated, the data set says 7") for text in said
    )


@settings(max_examples=60, deadline=None)
@given(shapes.flatmap(lambda size: nps.arrays(bool, (3, *size))), st.sampled_from([None, 0, 1, 2]))
def test_gains_compare_the_same_objects(masks: np.ndarray, full: int | None) -> None:
    """Each measure counts for prediction and coarse mask alike, or for neither."""
    if full is not None:
        masks[full] = True
    metric = RefinementMetric()
    metric.dataset_meta = {"classes": ("thing",)}
    metric.process(None, [sample(1, 1, *masks)])
    metric.compute_metrics(metric.results)
    arrays = metric.table.arrays
    assert (arrays["pred_defined"] == arrays["coarse_defined"]).all()
    # Which ones follows from the truth alone, so runs compare the same objects too.
    counted = [masks[2].any()] * 6
    counted[2] = masks[2].any() and not masks[2].all()
    assert (arrays["pred_defined"].sum(0) == counted).all()


def test_the_main_values_stand_first(evaluate: Evaluate, samples: list[dict[str, Any]]) -> None:
    keys = list(evaluate(RefinementMetric(), ("thing",), samples))
    main = ["IoU", "BoundaryIoU", "HD95"]
    assert keys[:9] == [*main, *(f"{part}_{key}" for part in ("gain", "coarse") for key in main)]


@pytest.mark.parametrize("key", ["pred_mask", "coarse_mask", "gt_mask"])
def test_missing_and_wrong_masks_are_named(samples: list[dict[str, Any]], key: str) -> None:
    metric = RefinementMetric()
    with pytest.raises(InputError, match=f"object 0 of image img_id 7.*no '{key}'"):
        metric.process(None, [{**samples[0], key: None}])
    with pytest.raises(InputError, match=rf"'{key}' of object 0.*\(3, 3\).*\(47, 50\)"):
        metric.process(None, [{**samples[0], key: torch.zeros(3, 3)}])


def test_gains_are_shown_as_what_they_are_a_gain_of() -> None:
    class Row:
        prefixes = ("refine",)
        evaluators = ({"type": "attnseg.RefinementMetric", "prefix": "refine"},)

        def __init__(self, key: str, value: float) -> None:
            self.metrics = {key: type("Value", (), {"value": value})()}

    for key, value, lower, percent in (
        ("refine/gain_IoU", -0.02, False, True),
        ("refine/gain_HD95", 0.4, False, False),
        ("refine/HD95", 0.4, True, False),
        ("refine/IoU", 0.9, False, True),
    ):
        column = make_column(key, [Row(key, value)])
        assert (column.lower, column.percent) == (lower, percent), key
