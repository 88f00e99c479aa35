"""CocoInstanceMetric: forms of truth and prediction, empty cases, bad input."""

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from attnseg.evaluation import CellMetric, CocoInstanceMetric

SIZE = (7, 12)


def _box(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


# The last object is a single pixel.
MASKS = np.stack([_box(0, 0, 4, 5), _box(2, 6, 7, 12), _box(6, 0, 7, 1)])
LABELS = [1, 0, 1]


def _pred(masks: Any = MASKS, labels: Any = LABELS) -> dict[str, Any]:
    scores = torch.linspace(0.9, 0.5, len(labels))
    return {"masks": masks, "labels": torch.tensor(labels).long(), "scores": scores}


def _sample(pred: Any = None, **truth: Any) -> dict[str, Any]:
    pred = _pred() if pred is None else pred
    return {"img_id": 3, "ori_shape": SIZE, "pred_instances": pred, **truth}


def _write(path: Path, rle, masks=MASKS, categories=((10, "b"), (20, "a")), **changes) -> str:
    """A json whose category order is not that of the classes ("a", "b")."""
    ids = {name: i for i, name in categories}
    annotations = [
        {
            "id": i,
            "image_id": 3,
            "category_id": ids["ab"[label]],
            "segmentation": rle(mask),
            "area": float(mask.sum()),
            "iscrowd": 0,
        }
        for i, (mask, label) in enumerate(zip(masks, LABELS, strict=True))
    ]
    content = {
        "images": [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in (3, 4)],
        "annotations": annotations,
        "categories": [{"id": i, "name": n} for i, n in categories],
        **changes,
    }
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def ann_file(tmp_path: Path, rle) -> str:
    return _write(tmp_path / "instances.json", rle)


@pytest.mark.parametrize("form", ["bool tensor", "uint8 array", "rle", "bitmap", "uncompressed"])
def test_forms_of_predicted_masks(ann_file: str, rle, evaluate, form: str) -> None:
    def uncompressed(mask: np.ndarray) -> dict[str, Any]:
        pixels = mask.ravel(order="F")
        runs = [[value, len(list(run))] for value, run in itertools.groupby(pixels)]
        counts = [length for _, length in runs]
        return {"size": list(SIZE), "counts": [0, *counts] if pixels[0] else counts}

    masks = {
        "bool tensor": torch.from_numpy(MASKS),
        "uint8 array": MASKS.astype(np.uint8),
        "rle": [rle(mask) for mask in MASKS],
        "bitmap": BitmapMasks(MASKS.astype(np.uint8), *SIZE),
        "uncompressed": [uncompressed(mask) for mask in MASKS],
    }[form]
    values = evaluate(CocoInstanceMetric(ann_file), ("a", "b"), [_sample(_pred(masks))])
    assert values["AP"] == values["APs"] == values["AR"] == 1.0


@pytest.mark.parametrize("form", ["tensor", "polygon", "raw polygons", "raw rle"])
def test_truth_in_the_samples(rle, evaluate, form: str) -> None:
    labels = torch.tensor(LABELS)
    # Polygons along pixel borders, x y by x y.
    corners = [[(0, 0), (5, 0), (5, 4), (0, 4)], [(6, 2), (12, 2), (12, 7), (6, 7)],
               [(0, 6), (1, 6), (1, 7), (0, 7)]]  # fmt: skip
    polygons = [[np.array(c, dtype=float).ravel()] for c in corners]
    truth = {
        "tensor": {"gt_instances": {"masks": torch.from_numpy(MASKS), "labels": labels}},
        "polygon": {"gt_instances": {"masks": PolygonMasks(polygons, *SIZE), "labels": labels}},
        "raw polygons": {
            "instances": [
                {"bbox_label": n, "bbox": [0, 0, 1, 1], "mask": [p[0].tolist()], "ignore_flag": 0}
                for n, p in zip(LABELS, polygons, strict=True)
            ]
        },
        "raw rle": {
            "instances": [
                {"bbox_label": n, "bbox": [0, 0, 1, 1], "mask": rle(m)}
                for n, m in zip(LABELS, MASKS, strict=True)
            ]
        },
    }[form]
    values = evaluate(CocoInstanceMetric(), ("a", "b"), [_sample(**truth)])
    assert values["AP"] == 1.0


def test_ignored_instances_are_crowds(evaluate) -> None:
    """A detection inside a crowd is neither right nor wrong, the crowd is not missed."""
    truth = {
        "gt_instances": {"masks": MASKS[:1], "labels": torch.tensor([1])},
        "ignored_instances": {"masks": MASKS[1:2], "labels": torch.tensor([1])},
    }
    first = _sample(_pred(np.stack([_box(3, 7, 5, 9), MASKS[0]]), [1, 1]), **truth)
    assert evaluate(CocoInstanceMetric(), ("a", "b"), [first])["AP"] == 1.0
    without = {"gt_instances": truth["gt_instances"]}
    first = {**_sample(first["pred_instances"], **without)}
    assert evaluate(CocoInstanceMetric(), ("a", "b"), [first])["AP"] == pytest.approx(0.5)


def test_stuff_labels_are_left_out(ann_file: str, evaluate) -> None:
    classes, meta = ("a", "b", "sky"), {"thing_classes": ("a", "b")}
    pred = _pred(np.concatenate([MASKS, MASKS[:1]]), [*LABELS, 2])
    metric = CocoInstanceMetric(ann_file, classwise=True)
    values = evaluate(metric, classes, [_sample(pred)], **meta)
    assert values["AP"] == values["AP/a"] == values["AP/b"] == values["AR/b"] == 1.0
    assert "AP/sky" not in values
    with pytest.raises(ValueError, match=r"instances\.json' has no category named 'sky'.*: a, b"):
        evaluate(metric, classes, [_sample(pred)])


def test_custom_area_ranges(ann_file: str, evaluate) -> None:
    metric = CocoInstanceMetric(ann_file, area_ranges={"pixel": (0, 2), "big": (3, 1e10)})
    values = evaluate(metric, ("a", "b"), [_sample(_pred(MASKS[:2], LABELS[:2]))])
    assert values["APpixel"] == 0.0
    assert values["APbig"] == 1.0
    assert metric.settings["area_ranges"]["pixel"] == [0.0, 2.0]


def test_settings_say_where_the_truth_comes_from(ann_file: str) -> None:
    for metric in (CocoInstanceMetric, CellMetric):
        assert metric(ann_file).settings["truth"] == "annotations"
        assert metric().settings["truth"] == "samples"


@pytest.mark.parametrize("shape", [(0, *SIZE), (0, 0, 0)])
def test_no_prediction_is_zero(ann_file: str, evaluate, shape) -> None:
    sample = _sample(_pred(torch.zeros(shape), []))
    values = evaluate(CocoInstanceMetric(ann_file), ("a", "b"), [sample])
    assert values["AP"] == values["AP50"] == values["AR"] == 0.0
    assert np.isnan(values["APl"])


def test_statistics_of_one_image(ann_file: str, evaluate) -> None:
    """Found, not found, and a detection of nothing; an image without anything."""
    nothing = {**_sample(_pred(torch.zeros(0, *SIZE), [])), "img_id": 4}
    pred = _pred(np.stack([MASKS[0], _box(5, 0, 7, 12)]), [1, 1])
    metric = CocoInstanceMetric(ann_file, max_dets=(1, 10))
    evaluate(metric, ("a", "b"), [nothing, _sample(pred)])
    table = metric.table
    assert table.settings == metric.settings
    assert table.classes == ("a", "b")
    assert [image.id for image in table.images] == [3, 4]
    arrays = {key: value.tolist() for key, value in table.arrays.items()}
    assert arrays["det_image"] == [0, 0]
    assert arrays["det_class"] == [1, 1]
    assert arrays["det_score"] == pytest.approx([0.9, 0.5])
    assert arrays["det_rank"] == [0, 1]
    # Columns are all sizes, s, m and l; everything here is small.
    assert arrays["det_matched"] == [[1023] * 2 + [1023] * 2, [0] * 4]
    assert arrays["det_ignored"] == [[0, 0, 1023, 1023]] * 2
    assert arrays["gt_image"] == [0, 0]
    assert arrays["gt_class"] == [0, 1]
    assert arrays["gt_count"] == [[1, 1, 0, 0], [2, 2, 0, 0]]


def test_size_of_the_entries_does_not_grow_with_the_image(evaluate) -> None:
    sizes = []
    for scale in (1, 40):
        masks = np.kron(MASKS, np.ones((1, scale, scale), dtype=bool))
        metric = CocoInstanceMetric()
        metric.dataset_meta = {"classes": ("a", "b")}
        truth = {"masks": masks, "labels": torch.tensor(LABELS)}
        sample = {**_sample(_pred(masks), gt_instances=truth), "ori_shape": masks.shape[1:]}
        metric.process(None, [sample])
        sizes.append(len(pickle.dumps(metric.results)))
    # One run a column: a mask 40 times as wide has at most 40 times as many, not 1600.
    assert sizes[1] < 20 * sizes[0]


def test_disagreement_of_the_two_computations_is_warned_of(ann_file, evaluate, monkeypatch) -> None:
    metric = CocoInstanceMetric(ann_file)
    messages: list[str] = []
    monkeypatch.setattr(metric, "log", lambda text, *level: messages.append(text))
    evaluate(metric, ("a", "b"), [_sample()])
    assert not any("by faster-coco-eval" in message for message in messages)
    exact = metric.statistics
    damage = {"det_matched": np.zeros((3, 4), dtype=np.uint16)}
    monkeypatch.setattr(metric, "statistics", lambda entries: exact(entries) | damage)
    values = evaluate(metric, ("a", "b"), [_sample()])
    assert values["AP"] == 1.0
    assert any(m.startswith("AP is 1.0 by faster-coco-eval and 0.0 by") for m in messages)


def test_no_object_is_nan(ann_file: str, evaluate) -> None:
    sample = {**_sample(), "img_id": 4}
    values = evaluate(CocoInstanceMetric(ann_file), ("a", "b"), [sample])
    assert all(np.isnan(value) for value in values.values())
    nothing = {"masks": torch.zeros(0, *SIZE), "labels": torch.zeros(0)}
    values = evaluate(CocoInstanceMetric(), ("a", "b"), [_sample(gt_instances=nothing)])
    assert np.isnan(values["AP"])
    assert np.isnan(evaluate(CocoInstanceMetric(ann_file), ("a", "b"), [])["AP"])


def test_mmengine_evaluator_with_data_samples(ann_file: str) -> None:
    sample = DetDataSample(metainfo={"img_id": 3, "ori_shape": SIZE})
    sample.pred_instances = InstanceData(**_pred(torch.from_numpy(MASKS)))
    evaluator = Evaluator({"type": "attnseg.CocoInstanceMetric", "ann_file": ann_file})
    evaluator.dataset_meta = {"classes": ("a", "b")}
    evaluator.process([sample])
    assert evaluator.evaluate(1)["coco/AP"] == 1.0


def test_truth_of_another_data_set_with_the_same_ids(tmp_path, rle, evaluate) -> None:
    size = {"height": SIZE[0], "width": SIZE[1]}
    images = [{"id": i, "file_name": f"val/{i}.jpg", **size} for i in (3, 4)]
    ann_file = _write(tmp_path / "val.json", rle, images=images)
    for metric in (CocoInstanceMetric, CellMetric):
        message = r"image id 3 is '3\.jpg' in '.*val\.json'.* 'train/a\.jpg'.*annotation file"
        with pytest.raises(ValueError, match=message):
            evaluate(metric(ann_file), ("a", "b"), [_sample(img_path="train/a.jpg")])
        evaluate(metric(ann_file), ("a", "b"), [_sample(img_path="elsewhere/3.jpg")])


def test_bad_predictions(ann_file: str, rle, evaluate) -> None:
    metric = CocoInstanceMetric(ann_file)
    small = MASKS[:, :, :9]
    for masks in (torch.from_numpy(small), [rle(mask) for mask in small]):
        with pytest.raises(ValueError, match=r"img_id 3.*\(7, 9\).*\(7, 12\)"):
            evaluate(metric, ("a", "b"), [_sample(_pred(masks))])
    with pytest.raises(ValueError, match=r"img_id 3 has label 5.*2 classes"):
        evaluate(metric, ("a", "b"), [_sample(_pred(labels=[1, 0, 5]))])
    with pytest.raises(ValueError, match="img_id 3 has a score that is NaN"):
        scores = torch.tensor([0.9, torch.nan, 0.5])
        evaluate(metric, ("a", "b"), [_sample({**_pred(), "scores": scores})])
    with pytest.raises(ValueError, match="3 masks or boxes, 2 labels"):
        evaluate(metric, ("a", "b"), [_sample(_pred(labels=[1, 0]))])
    with pytest.raises(KeyError, match="no image id 77"):
        evaluate(metric, ("a", "b"), [{**_sample(), "img_id": 77}])
    with pytest.raises(KeyError, match="predicts no instances"):
        evaluate(metric, ("a", "b"), [{"img_id": 3}])
    with pytest.raises(KeyError, match="iou_type='bbox'"):
        evaluate(metric, ("a", "b"), [_sample({**_pred(), "masks": None})])
    with pytest.raises(KeyError, match="no ground truth.*'ann_file'"):
        evaluate(CocoInstanceMetric(), ("a", "b"), [_sample()])
    with pytest.raises(KeyError, match="ground truth of image img_id 3 has no masks"):
        evaluate(
            CocoInstanceMetric(), ("a", "b"),
            [_sample(instances=[{"bbox_label": 0, "bbox": [0, 0, 1, 1]}])],
        )  # fmt: skip
    truth = {"masks": MASKS, "labels": torch.tensor([1, 0, 2])}
    with pytest.raises(ValueError, match=r"truth of image img_id 3 has label 2.*2 classes"):
        evaluate(CocoInstanceMetric(), ("a", "b"), [_sample(gt_instances=truth)])
    truth = {"masks": small, "labels": torch.tensor(LABELS)}
    with pytest.raises(ValueError, match=r"\(7, 9\), the image has \(7, 12\)"):
        evaluate(CocoInstanceMetric(), ("a", "b"), [_sample(gt_instances=truth)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "lvis"}, "coco, livecell"),
        ({"iou_type": "keypoints"}, "'segm' or 'bbox'"),
        ({"max_dets": (100, 10)}, "ascending"),
        ({"max_dets": ()}, "ascending"),
        ({"area_ranges": {"s": (5, 1)}}, "area range 's'"),
        ({"area_ranges": {"50": (0, 1)}}, "area range '50'.*AP50.*rename"),
        ({"area_ranges": {50: (0, 1)}}, "area range 50.*rename"),
        ({"area_ranges": {"tiny/small": (0, 1)}}, "area range 'tiny/small'.*rename"),
        ({"area_ranges": {"": (0, 1)}}, "area range ''.*rename"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CocoInstanceMetric(**arguments)


def test_bad_files(tmp_path: Path, rle) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        CocoInstanceMetric(str(tmp_path / "none.json"))
    path = tmp_path / "panoptic.json"
    segments = [{"image_id": 3, "segments_info": [], "file_name": "x.png"}]
    with pytest.raises(ValueError, match="is of the panoptic form"):
        CocoInstanceMetric(_write(path, rle, annotations=segments))
    with pytest.raises(ValueError, match="no images and no categories and no annotations"):
        path.write_text('{"images": [], "categories": []}')
        CocoInstanceMetric(str(path))


def test_boxes_of_a_resized_image_are_not_taken_for_the_original_ones() -> None:
    pred = {"labels": [0], "scores": [0.9], "bboxes": np.array([[2.0, 2.0, 8.0, 6.0]])}
    half = {"labels": np.array([0]), "bboxes": np.array([[1.0, 1.0, 4.0, 3.0]])}
    resized = {"gt_instances": half, "scale_factor": (0.5, 0.5)}
    metric = CocoInstanceMetric(iou_type="bbox")
    metric.dataset_meta = {"classes": ("a", "b")}
    with pytest.raises(ValueError, match=r"img_id 3.*resized.*'ann_file'"):
        metric.process({}, [_sample(pred, **resized)])
    raw = [{"bbox_label": 0, "bbox": [2.0, 2.0, 8.0, 6.0]}]
    metric.process({}, [_sample(pred, instances=raw, **resized)])
    assert metric.evaluate(1)["coco/AP"] == 1
