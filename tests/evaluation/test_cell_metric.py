"""CellMetric on data samples and files, against masks compared one by one."""

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS as ROOT_METRICS
from pycocotools import mask as tools
from scipy.optimize import linear_sum_assignment

from attnseg.coco_files import read_coco_json
from attnseg.evaluation import CellMetric
from attnseg.evaluation.masks import encode_segmentation

CLASSES = ("a", "b")
SIZE = (20, 30)


def _instances(labels: np.ndarray, classes=None, scores=None) -> dict:
    ids = [i for i in np.unique(labels).tolist() if i]
    masks = [labels == i for i in ids]
    return {
        "masks": torch.as_tensor(np.array(masks).reshape(-1, *labels.shape)),
        "labels": torch.as_tensor(classes or [0] * len(ids)),
        "scores": torch.as_tensor(scores or [0.9] * len(ids)),
    }


def _sample(truth: np.ndarray, pred: np.ndarray, img_id: int = 1, **fields) -> dict:
    return {
        "img_id": img_id,
        "ori_shape": truth.shape,
        "gt_instances": _instances(truth),
        "pred_instances": _instances(pred),
    } | fields


def _squares(*corners: tuple[int, int], side: int = 4) -> np.ndarray:
    labels = np.zeros(SIZE, dtype=np.int64)
    for i, (y, x) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = i
    return labels


TRUTH = _squares((3, 3), (3, 10), (10, 3), (10, 20))


def test_truth_as_prediction_is_perfect(evaluate) -> None:
    metric = ROOT_METRICS.build({"type": "attnseg.CellMetric", "classwise": True})
    values = evaluate(metric, CLASSES, [_sample(TRUTH, TRUTH)])
    undefined = {key for key, value in values.items() if np.isnan(value)}
    assert undefined == {"F1/b", "AP/b", "AJI/b"}
    assert {value for key, value in values.items() if key not in undefined} == {1.0}
    assert {"F1@0.50", "AP@0.95", "F1_pooled@0.75", "AJI_pooled", "F1/a"} <= set(values)


def test_hand_computed(evaluate) -> None:
    # One exact, one shifted by a row (IoU 12 / 20), one lost, one false of 16 pixels.
    first = _sample(TRUTH, _squares((3, 3), (4, 10), (10, 3), (15, 10)))
    second = _sample(_squares((5, 5)), _squares((5, 5)), 2)
    values = evaluate(CellMetric(), CLASSES, [first, second])
    assert values["F1@0.50"] == (0.75 + 1) / 2
    assert values["AP@0.60"] == (3 / 5 + 1) / 2
    assert values["Precision@0.65"] == values["Recall@0.65"] == (0.5 + 1) / 2
    assert values["F1_pooled@0.50"] == 8 / 10
    assert values["AP_pooled@0.95"] == 3 / 7
    assert values["F1"] == pytest.approx(((3 * 0.75 + 7 * 0.5) / 10 + 1) / 2)
    assert values["AJI"] == (44 / 84 + 1) / 2
    assert values["AJI_pooled"] == 60 / 100


def test_images_without_cells(evaluate) -> None:
    empty = np.zeros(SIZE, dtype=np.int64)
    full = _sample(TRUTH, TRUTH)
    neither = _sample(empty, empty, 2)
    values = evaluate(CellMetric(), CLASSES, [neither])
    assert all(np.isnan(value) for value in values.values())
    # Left out of the mean.
    assert set(evaluate(CellMetric(), CLASSES, [full, neither]).values()) == {1.0}
    for only_one in (_sample(TRUTH, empty), _sample(empty, TRUTH)):
        assert set(evaluate(CellMetric(), CLASSES, [only_one]).values()) == {0.0}
    assert evaluate(CellMetric(), CLASSES, [full, _sample(TRUTH, empty, 2)])["F1"] == 0.5


def test_score_threshold_and_overlaps(evaluate) -> None:
    pred = _instances(TRUTH, scores=[0.5, 0.9, 0.49, 0.9])
    sample = _sample(TRUTH, TRUTH, pred_instances=pred)
    assert evaluate(CellMetric(), CLASSES, [sample])["Recall"] == 0.75
    assert evaluate(CellMetric(score_thr=0.4), CLASSES, [sample])["F1"] == 1.0
    # A mask of the whole image under better ones is what they leave; over them it hides them.
    masks = torch.cat([torch.ones(1, *SIZE, dtype=torch.bool), pred["masks"]])
    for score, matches in ((0.8, 4), (0.95, 0)):
        instances = {
            "masks": masks,
            "labels": torch.zeros(5, dtype=torch.int64),
            "scores": torch.tensor([score, 0.9, 0.9, 0.9, 0.9]),
        }
        metric = CellMetric()
        sample = _sample(TRUTH, TRUTH, pred_instances=instances)
        assert evaluate(metric, CLASSES, [sample])["Recall"] == matches / 4
        assert metric.table.arrays["pred"].tolist()[0][0] == (5 if matches else 1)


def test_first_of_equal_scores_is_on_top(evaluate) -> None:
    masks = torch.ones(2, *SIZE, dtype=torch.bool)
    masks[1, :, :10] = False
    pred = {"masks": masks, "labels": torch.zeros(2).long(), "scores": torch.tensor([0.7, 0.7])}
    metric = CellMetric()
    evaluate(metric, CLASSES, [_sample(TRUTH, TRUTH, pred_instances=pred)])
    assert metric.table.arrays["pred"][0, 0] == 1


def test_boundary_cells(evaluate) -> None:
    truth = _squares((0, 3), (3, 10), (10, 3), (15, 20))
    pred = _squares((0, 3), (3, 10), (1, 20))
    # With width 1 only the first touches; with 2 also the last of each.
    for width, expected in ((1, (1, 3, 2)), (2, (1, 2, 1))):
        metric = CellMetric(remove_boundary=True, boundary_width=width)
        evaluate(metric, CLASSES, [_sample(truth, pred)])
        arrays = metric.table.arrays
        assert (arrays["tp"][0, 0, 0], arrays["truth"][0, 0], arrays["pred"][0, 0]) == expected
        assert metric.settings["removed_boundary"] == width


def test_classes(evaluate) -> None:
    sample = _sample(TRUTH, TRUTH)
    sample["gt_instances"]["labels"] = torch.tensor([0, 0, 1, 1])
    sample["pred_instances"]["labels"] = torch.tensor([0, 1, 1, 1])
    values = evaluate(CellMetric(classwise=True), CLASSES, [sample])
    assert values["F1"] == 1.0
    assert values["F1/a"] == pytest.approx(2 / 3)
    assert values["AP/b"] == pytest.approx(2 / 3)
    assert values["AJI/a"] == 16 / 32
    # Stuff is no cell.
    values = evaluate(CellMetric(classwise=True), CLASSES, [sample], thing_classes=("a",))
    assert values["Recall"] == 0.5
    assert "F1/b" not in values


def test_panoptic_prediction(evaluate) -> None:
    labels = np.where(TRUTH > 0, TRUTH * 1000, 1)
    labels[3:7, 3:7] = 0
    labels[0, 0] = 255
    sample = _sample(TRUTH, TRUTH)
    del sample["pred_instances"]
    sample["pred_panoptic_seg"] = {"sem_seg": torch.from_numpy(labels)[None]}
    values = evaluate(CellMetric(), ("cell", "ground"), [sample], thing_classes=("cell",))
    assert set(values.values()) == {1.0}
    # Bytes hold instance 0 of each class.
    labels = np.where(TRUTH == 2, 0, 1).astype(np.uint8)
    small = sample | {"pred_panoptic_seg": {"sem_seg": torch.from_numpy(labels)[None]}}
    values = evaluate(CellMetric(), ("cell", "ground"), [small], thing_classes=("cell",))
    assert values["Precision"] == 1.0
    assert values["Recall"] == 0.25
    sample["pred_panoptic_seg"] = {"sem_seg": torch.from_numpy(labels[:, 1:])[None]}
    with pytest.raises(ValueError, match=r"img_id 1.*\(20, 29\).*\(20, 30\)"):
        evaluate(CellMetric(), ("cell", "ground"), [sample], thing_classes=("cell",))


def test_crowds(evaluate) -> None:
    crowd = torch.zeros(1, *SIZE, dtype=torch.bool)
    crowd[0, 14:, 5:20] = True
    ignored = {"masks": crowd, "labels": torch.tensor([0])}
    pred = _squares((3, 3), (3, 10), (10, 3), (10, 20), (15, 10))
    assert evaluate(CellMetric(), CLASSES, [_sample(TRUTH, pred)])["Precision"] == 0.8
    sample = _sample(TRUTH, pred, ignored_instances=ignored)
    assert set(evaluate(CellMetric(), CLASSES, [sample]).values()) == {1.0}


def test_perturbed_objects_of_a_file(instances_json, evaluate) -> None:
    """F1 and AP of shifted masks of a COCO file; the reference compares dense masks."""
    content = read_coco_json(str(instances_json), "instances", ("annotations",))
    classes = tuple(sorted({c["name"] for c in content["categories"]}))
    rng = np.random.default_rng(0)
    samples, expected = [], []
    for image in content["images"][:12]:
        size = (image["height"], image["width"])
        truth, pred = np.zeros(size, dtype=int), np.zeros(size, dtype=int)
        objects = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        masks = [
            tools.decode(encode_segmentation(a["segmentation"], size, "x")) == 1
            for a in objects
            if not a.get("iscrowd")
        ]
        for number in sorted(range(len(masks)), key=lambda i: -masks[i].sum()):
            truth[masks[number]] = number + 1
        moved = [np.roll(m, rng.integers(-4, 5, 2), (0, 1)) for m in masks if rng.random() < 0.9]
        scores = rng.permutation(len(moved)) / 100 + 0.5
        for number in np.argsort(scores):
            pred[moved[number]] = number + 1
        samples.append(
            {
                "img_id": image["id"],
                "pred_instances": {
                    "masks": np.array(moved).reshape(-1, *size),
                    "labels": np.zeros(len(moved), dtype=int),
                    "scores": scores,
                },
            }
        )
        crowd = np.zeros(size, dtype=bool)
        for a in objects:
            if a.get("iscrowd"):
                crowd |= tools.decode(encode_segmentation(a["segmentation"], size, "x")) == 1
        expected.append(_reference(truth, pred, crowd & (truth == 0)))
    values = evaluate(CellMetric(str(instances_json)), classes, samples)
    for threshold in (0.5, 0.75):
        scored = [e[threshold] for e in expected if e[threshold] is not None]
        f1 = np.mean([2 * tp / (n + p) for tp, n, p in scored])
        ap = np.mean([tp / (n + p - tp) for tp, n, p in scored])
        assert values[f"F1@{threshold:.2f}"] == pytest.approx(f1, abs=1e-12)
        assert values[f"AP@{threshold:.2f}"] == pytest.approx(ap, abs=1e-12)


def _reference(truth: np.ndarray, pred: np.ndarray, crowd: np.ndarray) -> dict:
    cells = [truth == i for i in np.unique(truth) if i]
    found = [pred == i for i in np.unique(pred) if i]
    found = [mask for mask in found if (mask & crowd).sum() / mask.sum() <= 0.5]
    if not cells and not found:
        return dict.fromkeys((0.5, 0.75))
    iou = np.array([[(a & b).sum() / (a | b).sum() for b in found] for a in cells])
    iou = iou.reshape(len(cells), len(found))
    counts = {}
    for threshold in (0.5, 0.75):
        rows, cols = linear_sum_assignment(iou >= threshold, maximize=True)
        counts[threshold] = ((iou[rows, cols] >= threshold).sum(), len(cells), len(found))
    return counts


def test_errors(evaluate) -> None:
    sample = _sample(TRUTH, TRUTH)
    with pytest.raises(KeyError, match="img_id 1.*neither 'pred_instances' nor"):
        evaluate(CellMetric(), CLASSES, [sample | {"pred_instances": None}])
    with pytest.raises(KeyError, match="no masks"):
        evaluate(CellMetric(), CLASSES, [sample | {"pred_instances": {"scores": []}}])
    wrong = _instances(TRUTH[:, 1:])
    with pytest.raises(ValueError, match=r"img_id 1.*\(4, 20, 29\).*\(20, 30\)"):
        evaluate(CellMetric(), CLASSES, [sample | {"pred_instances": wrong}])
    with pytest.raises(ValueError, match=r"img_id 1.*label 2.*2 classes"):
        evaluate(CellMetric(), CLASSES, [
            sample | {"pred_instances": _instances(TRUTH, [0, 1, 2, 0])}])  # fmt: skip
    with pytest.raises(ValueError, match="4 masks, 3 labels"):
        evaluate(CellMetric(), CLASSES, [
            sample | {"pred_instances": _instances(TRUTH, [0, 1, 0])}])  # fmt: skip
    with pytest.raises(KeyError, match="no ground truth"):
        evaluate(CellMetric(), CLASSES, [sample | {"gt_instances": None}])
    with pytest.raises(ValueError, match="no class of the data set is a thing"):
        evaluate(CellMetric(), CLASSES, [sample], thing_classes=())
    for thresholds in ((), (0.7, 0.5), (0.0, 0.5), (0.5, 1.1), (0.5, 0.5001)):
        with pytest.raises(ValueError, match="iou_thresholds must"):
            CellMetric(iou_thresholds=thresholds)
    with pytest.raises(ValueError, match="boundary_width"):
        CellMetric(boundary_width=0)
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        CellMetric("nothing.json")
