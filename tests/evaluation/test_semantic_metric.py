"""SemanticMetric and its pure functions against a naive confusion matrix."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.evaluation import IoUMetric
from PIL import Image

from attnseg.evaluation import SemanticMetric
from attnseg.evaluation.functional import AreaStatistics, area_scores, area_statistics


def _naive_scores(pairs, num_classes: int, ignore: int) -> dict[str, float]:
    """Scores from a confusion matrix filled pixel by pixel; the last column is void."""
    confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    for pred, label in pairs:
        for p, t in zip(np.ravel(pred).tolist(), np.ravel(label).tolist(), strict=True):
            if t != ignore:
                confusion[t, p if p < num_classes else num_classes] += 1
    iou, acc, dice = [], [], []
    for c in range(num_classes):
        tp = confusion[c, c]
        fn = confusion[c].sum() - tp
        fp = confusion[:, c].sum() - tp
        if tp + fp + fn:
            iou.append(tp / (tp + fp + fn))
            dice.append(2 * tp / (2 * tp + fp + fn))
        if tp + fn:
            acc.append(tp / (tp + fn))
    if not confusion.sum():
        return dict.fromkeys(("mIoU", "mAcc", "mDice", "aAcc"), float("nan"))
    correct = np.trace(confusion[:, :-1])
    return {
        "mIoU": float(np.mean(iou)),
        "mAcc": float(np.mean(acc)),
        "mDice": float(np.mean(dice)),
        "aAcc": correct / confusion.sum(),
    }


def _sample(index: int, pred: np.ndarray, label: np.ndarray, key: str = "data") -> dict:
    return {
        "img_path": f"{index}.png",
        "pred_sem_seg": {key: torch.as_tensor(pred)[None]},
        "gt_sem_seg": {key: torch.as_tensor(label)[None]},
    }


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_classes=st.integers(1, 5),
    images=st.integers(1, 4),
    void=st.sampled_from([0.0, 0.3, 1.0]),
    key=st.sampled_from(["data", "sem_seg"]),
)
def test_agrees_with_confusion_matrix(evaluate, seed, num_classes, images, void, key) -> None:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(images):
        size = tuple(rng.integers(1, 7, 2))
        label = rng.integers(0, num_classes, size).astype(np.uint8)
        label[rng.random(size) < void] = 255
        pred = rng.integers(0, num_classes + 1, size)
        pairs.append((pred, label))
    samples = [_sample(i, *pair, key) for i, pair in enumerate(pairs)]
    classes = tuple(f"c{i}" for i in range(num_classes))
    values = evaluate(SemanticMetric(), classes, samples)
    expected = _naive_scores(pairs, num_classes, 255)
    assert values == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_hand_computed(evaluate) -> None:
    label = np.array([[0, 0, 1, 255]])
    pred = np.array([[0, 1, 1, 1]])
    metric = SemanticMetric(classwise=True)
    values = evaluate(metric, ("a", "b", "c"), [_sample(0, pred, label)])
    assert values["IoU/a"] == values["IoU/b"] == values["mIoU"] == 0.5
    assert values["Dice/a"] == pytest.approx(2 / 3)
    assert (values["Acc/a"], values["Acc/b"]) == (0.5, 1.0)
    assert values["aAcc"] == pytest.approx(2 / 3)
    # "c" occurs nowhere: undefined, and not in the means.
    assert np.isnan(values["IoU/c"])


def test_class_predicted_but_never_labelled(evaluate) -> None:
    sample = _sample(0, np.array([[0, 1]]), np.array([[0, 0]]))
    values = evaluate(SemanticMetric(classwise=True), ("a", "b"), [sample])
    assert values["mIoU"] == 0.25
    assert values["mAcc"] == 0.5
    assert np.isnan(values["Acc/b"])


def test_more_than_256_classes(evaluate) -> None:
    label = np.arange(847, dtype=np.int32).reshape(7, 121)
    classes = tuple(f"c{i}" for i in range(847))
    label[0, 0] = 65535
    metric = SemanticMetric(ignore_index=65535)
    values = evaluate(metric, classes, [_sample(0, label, label)])
    assert values["mIoU"] == values["aAcc"] == 1.0
    with pytest.raises(ValueError, match="ignore_index=255 is a class label"):
        evaluate(SemanticMetric(), classes, [_sample(0, label, label)])


def test_labels_of_a_panoptic_prediction(evaluate) -> None:
    label = np.array([[0, 1, 1]])
    sample = _sample(0, label, label)
    del sample["pred_sem_seg"]
    sample["pred_panoptic_seg"] = {"sem_seg": torch.tensor([[[1000, 1, 2]]])}
    values = evaluate(SemanticMetric(), ("a", "b"), [sample])
    # The last pixel is void: a miss of "b" that adds to no prediction.
    assert values["mIoU"] == 0.75


def test_errors(evaluate) -> None:
    zeros = np.zeros((4, 6), int)
    with pytest.raises(ValueError, match=r"'0\.png'.*\(4, 5\).*\(4, 6\)"):
        evaluate(SemanticMetric(), ("a",), [_sample(0, zeros[:, :5], zeros)])
    with pytest.raises(ValueError, match=r"'0\.png'.*from 0 to 7.*2 classes"):
        evaluate(SemanticMetric(), ("a", "b"), [_sample(0, zeros, zeros + [0, 0, 0, 0, 0, 7])])
    with pytest.raises(ValueError, match=r"'0\.png' has label 2, but the data set has 1"):
        evaluate(SemanticMetric(), ("a",), [_sample(0, zeros + 2, zeros)])
    with pytest.raises(KeyError, match="'ann_file' and 'seg_prefix'"):
        evaluate(SemanticMetric(), ("a",), [_sample(0, zeros, zeros) | {"gt_sem_seg": None}])
    with pytest.raises(KeyError, match="neither 'pred_sem_seg' nor"):
        evaluate(SemanticMetric(), ("a",), [{"img_path": "x"}])
    with pytest.raises(KeyError, match="neither 'img_id' nor 'img_path'"):
        sample = _sample(0, zeros, zeros)
        del sample["img_path"]
        evaluate(SemanticMetric(), ("a",), [sample])
    with pytest.raises(ValueError, match="together"):
        SemanticMetric(ann_file="x.json")


def test_statistics_add_up() -> None:
    rng = np.random.default_rng(0)
    pred, label = rng.integers(0, 4, (2, 8, 9))
    parts = [area_statistics(p, t, 4, 255) for p, t in zip(pred, label, strict=True)]
    summed = AreaStatistics(*(sum(values) for values in zip(*parts, strict=True)))
    whole = area_statistics(pred.reshape(1, -1), label.reshape(1, -1), 4, 255)
    np.testing.assert_array_equal(summed, whole)
    assert area_scores(summed).pixel_accuracy == (pred == label).mean()


def _camvid(data_root: Path | None) -> list[np.ndarray]:
    """CamVid's val labels, or generated ones of uneven classes where there is no data."""
    if data_root is not None:
        folder = data_root / "camvid11" / "annotations" / "val"
        return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    rng = np.random.default_rng(0)
    maps = np.minimum(rng.exponential(2, (10, 45, 60)).astype(np.uint8), 10)
    maps[rng.random(maps.shape) < 0.05] = 255
    return list(np.kron(maps, np.ones((1, 8, 8), dtype=np.uint8)))


def test_agrees_with_mmseg(data_root, evaluate) -> None:
    """All figures of mmseg's IoUMetric from its areas: it sums in float32 and rounds."""
    rng = np.random.default_rng(0)
    samples = []
    for index, label in enumerate(_camvid(data_root)):
        other = rng.integers(0, 11, label.shape)
        noisy = rng.random(label.shape) < rng.uniform(0.02, 0.5)
        # Void pixels need a predicted class for mmseg.
        pred = np.where(noisy | (label == 255), other, np.roll(label, 3, 1) % 255 % 11)
        samples.append(_sample(index, pred, label.astype(np.int64)))
    classes = tuple(f"c{i}" for i in range(12))
    values = evaluate(SemanticMetric(classwise=True), classes, samples)

    theirs = IoUMetric(iou_metrics=["mIoU", "mDice"])
    theirs.dataset_meta = {"classes": classes}
    theirs.process({}, samples)
    totals = [sum(area.double() for area in areas) for areas in zip(*theirs.results, strict=True)]
    expected = theirs.total_area_to_metrics(*totals, ["mIoU", "mDice"])
    assert values["aAcc"] == pytest.approx(float(expected["aAcc"]), abs=1e-9)
    for kind in ("IoU", "Acc", "Dice"):
        per_class = np.asarray(expected[kind], dtype=np.float64)
        found = [values[f"{kind}/{name}"] for name in classes]
        assert found == pytest.approx(per_class, abs=1e-9, nan_ok=True)
        assert values[f"m{kind}"] == pytest.approx(np.nanmean(per_class), abs=1e-9)


@pytest.mark.parametrize(("count", "offset", "bits"), [(11, 0, 8), (150, 1, 8), (300, 0, 16)])
def test_predictions_in_files(evaluate, tmp_path: Path, count: int, offset: int, bits: int) -> None:
    rng = np.random.default_rng(0)
    classes = tuple(f"c{i}" for i in range(count))
    label = rng.integers(0, count, (13, 37))
    pred = np.where(rng.random(label.shape) < 0.3, 65535, label)
    samples = [_sample(i, np.roll(pred, i, 0), label) for i in range(2)]
    metric = SemanticMetric(65535, output_dir=str(tmp_path / "out"), label_offset=offset)
    values = evaluate(metric, classes, samples)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]
    read = cv2.imread(str(tmp_path / "out" / "0.png"), cv2.IMREAD_UNCHANGED)
    assert read.dtype == f"uint{bits}"
    void = 0 if offset else 2**bits - 1
    np.testing.assert_array_equal(read, np.where(pred == 65535, void, pred + offset))
    # The value from the files is the value that was reported.
    again = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64) - offset
        for path in sorted((tmp_path / "out").iterdir())
    ]
    samples = [_sample(i, np.where((m >= 0) & (m < count), m, count), label)
               for i, m in enumerate(again)]  # fmt: skip
    assert evaluate(SemanticMetric(65535), classes, samples) == values


def test_predictions_of_one_name_are_refused(evaluate, tmp_path: Path) -> None:
    zeros = np.zeros((4, 6), int)
    samples = [_sample(0, zeros, zeros) | {"img_path": f"{city}/a.jpg"} for city in "xy"]
    metric = SemanticMetric(output_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"'y/a\.jpg' and 'x/a\.jpg' would both be 'a\.png'"):
        evaluate(metric, ("a",), samples)
    # On two processes each of them is written before anyone knows of the other.
    metrics = [SemanticMetric(output_dir=str(tmp_path)) for _ in samples]
    for one, sample in zip(metrics, samples, strict=True):
        one.dataset_meta = {"classes": ("a",)}
        one.process(None, [sample])
    with pytest.raises(ValueError, match=r"would both be 'a\.png'"):
        metrics[0].compute_metrics(metrics[0].results + metrics[1].results)
    # A repeated image is no second one.
    assert evaluate(SemanticMetric(output_dir=str(tmp_path)), ("a",), [samples[0]] * 2)["mIoU"] == 1
    with pytest.raises(ValueError, match="label_offset=1 is for the files in 'output_dir'"):
        SemanticMetric(label_offset=1)
