"""BoundaryMetric on class maps, against whole masks of each class."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import METRICS as ROOT_METRICS

from attnseg.evaluation import BoundaryMetric
from attnseg.evaluation.functional.boundary import (
    average_surface_distance,
    boundary_areas,
    boundary_width,
    hausdorff,
)
from attnseg.evaluation.functional.class_boundaries import boundary_statistics


def _sample(index: int, pred: np.ndarray, label: np.ndarray) -> dict:
    return {
        "img_id": index,
        "pred_sem_seg": {"data": torch.as_tensor(pred)[None]},
        "gt_sem_seg": {"data": torch.as_tensor(label)[None]},
    }


def _blocks(rng: np.random.Generator, size: tuple[int, int], num_classes: int) -> np.ndarray:
    small = rng.integers(0, num_classes, (size[0] // 7 + 1, size[1] // 5 + 1))
    return np.kron(small, np.ones((7, 5), dtype=int))[: size[0], : size[1]]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 50)),
    num_classes=st.integers(1, 6),
    fraction=st.sampled_from([0.02, 0.1]),
)
def test_classes_by_their_masks(seed, size, num_classes, fraction) -> None:
    rng = np.random.default_rng(seed)
    label = _blocks(rng, size, num_classes)
    pred = np.where(rng.random(size) < 0.8, np.roll(label, 2, 1), num_classes)
    label = np.where(rng.random(size) < 0.1, 255, label)
    stats = boundary_statistics(pred, label, num_classes, 255, fraction)
    for c in range(num_classes):
        masks = (pred == c) & (label != 255), label == c
        areas = boundary_areas(*masks, boundary_width(size, fraction))
        assert (stats.intersection[c], stats.union[c]) == areas
        expected = [hausdorff(*masks), hausdorff(*masks, 95), average_surface_distance(*masks)]
        found = [stats.hd[c], stats.hd95[c], stats.asd[c]]
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_pooled_and_averaged(evaluate) -> None:
    rng = np.random.default_rng(0)
    classes = ("a", "b", "c")
    pairs = [
        (_blocks(rng, size, 3), _blocks(rng, size, 3)) for size in ((30, 41), (17, 22), (25, 25))
    ]
    samples = [_sample(i, *pair) for i, pair in enumerate(pairs)]
    metric = ROOT_METRICS.build({"type": "attnseg.BoundaryMetric", "classwise": True})
    values = evaluate(metric, classes, samples)
    for c, name in enumerate(classes):
        areas = [boundary_areas(p == c, t == c, boundary_width(p.shape)) for p, t in pairs]
        assert values[f"BoundaryIoU/{name}"] == np.divide(*np.sum(areas, axis=0))
        hd95 = np.mean([hausdorff(p == c, t == c, 95) for p, t in pairs])
        assert values[f"HD95/{name}"] == pytest.approx(hd95, abs=1e-12)
    for key in ("BoundaryIoU", "HD", "HD95", "ASD"):
        mean = np.mean([values[f"{key}/{name}"] for name in classes])
        assert values[f"m{key}"] == pytest.approx(mean, abs=1e-12)


def test_truth_as_prediction_is_perfect(evaluate) -> None:
    label = _blocks(np.random.default_rng(1), (30, 40), 2)
    values = evaluate(BoundaryMetric(), ("a", "b", "c"), [_sample(0, label, label)])
    assert values == {"mBoundaryIoU": 1.0, "mHD": 0.0, "mHD95": 0.0, "mASD": 0.0}


def test_class_in_one_map_only(evaluate) -> None:
    label = np.zeros((30, 40), dtype=int)
    pred = label.copy()
    pred[5:9, 5:9] = 1
    metric = BoundaryMetric(classwise=True)
    values = evaluate(metric, ("a", "b", "c"), [_sample(0, pred, label)])
    assert values["BoundaryIoU/b"] == 0.0
    assert values["HD/b"] == values["HD95/b"] == values["ASD/b"] == 50.0
    assert np.isnan(values["HD/c"])
    # The next image has neither b nor c: it does not count for them.
    samples = [_sample(0, pred, label), _sample(1, label, label)]
    assert evaluate(metric, ("a", "b", "c"), samples)["HD/b"] == 50.0


def test_void(evaluate) -> None:
    label = np.zeros((20, 30), dtype=int)
    label[:, 10:] = 1
    pred = label.copy()
    pred[:, 25:] = 0
    label[:, 20:] = 255
    values = evaluate(BoundaryMetric(), ("a", "b"), [_sample(0, pred, label)])
    assert values == {"mBoundaryIoU": 1.0, "mHD": 0.0, "mHD95": 0.0, "mASD": 0.0}
    only_void = _sample(0, pred, np.full((20, 30), 255))
    assert all(np.isnan(v) for v in evaluate(BoundaryMetric(), ("a", "b"), [only_void]).values())


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_types_of_maps(evaluate, kind: type) -> None:
    rng = np.random.default_rng(0)
    label, pred = (_blocks(rng, (40, 30), 3) for _ in range(2))
    label[rng.random(label.shape) < 0.1] = 255
    pred[3:9] = 3
    classes = ("a", "b", "c")
    expected = evaluate(BoundaryMetric(), classes, [_sample(0, pred, label)])
    narrow = _sample(0, pred.astype(kind), label.astype(kind))
    assert evaluate(BoundaryMetric(), classes, [narrow]) == expected


def test_panoptic_truth_and_prediction(panoptic_files, evaluate) -> None:
    ids = np.zeros((12, 15), dtype=np.int64)
    ids[:6], ids[6:, :9] = 1, 2
    files = panoptic_files({1: ids}, {1: [(1, 7, 0), (2, 9, 0)]}, [(7, "a", 1), (9, "b", 0)])
    pred = np.where(ids == 1, 5000, np.where(ids == 2, 1, 2))
    sample = {"img_id": 1, "pred_panoptic_seg": {"sem_seg": torch.from_numpy(pred)[None]}}
    values = evaluate(BoundaryMetric(**files), ("a", "b"), [sample])
    assert values == {"mBoundaryIoU": 1.0, "mHD": 0.0, "mHD95": 0.0, "mASD": 0.0}


def test_errors(evaluate) -> None:
    zeros = np.zeros((4, 6), int)
    with pytest.raises(ValueError, match=r"img_id 0.*\(4, 5\).*\(4, 6\)"):
        evaluate(BoundaryMetric(), ("a",), [_sample(0, zeros[:, :5], zeros)])
    with pytest.raises(ValueError, match=r"img_id 0.*2 classes"):
        evaluate(BoundaryMetric(), ("a", "b"), [_sample(0, zeros, zeros + 7)])
    with pytest.raises(KeyError, match="BoundaryMetric needs a model"):
        evaluate(BoundaryMetric(), ("a",), [{"img_id": 0}])
    with pytest.raises(ValueError, match="BoundaryMetric needs 'ann_file' and 'seg_prefix'"):
        BoundaryMetric(ann_file="x.json")
    for fraction in (0, 1, -0.1):
        with pytest.raises(ValueError, match="fraction"):
            BoundaryMetric(fraction)
