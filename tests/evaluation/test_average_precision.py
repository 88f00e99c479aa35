"""AP against pycocotools on perturbed truth with crowds, and where pycocotools is wrong."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from attnseg.evaluation import CocoInstanceMetric
from attnseg.evaluation.bootstrap import resample_weights
from attnseg.evaluation.scores import score
from tests.evaluation.coco_cases import values_of


def _perturbed(coco: COCO, img_ids: list[int], seed: int) -> list[dict[str, Any]]:
    """Detections made of the truth: shifted, dropped, doubled, relabelled, with tied scores."""
    rng = np.random.default_rng(seed)
    categories = coco.getCatIds()
    detections = []
    for img_id in img_ids:
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[img_id])):
            mask = coco.annToMask(annotation)
            for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
                shift = rng.integers(-3, 4, 2)
                moved = np.roll(mask, shift, (0, 1))
                wrong = rng.random() < 0.1
                detections.append(
                    {
                        "image_id": img_id,
                        "category_id": int(rng.choice(categories))
                        if wrong
                        else annotation["category_id"],
                        "score": float(np.round(rng.random(), 2)),
                        "segmentation": tools.encode(np.asfortranarray(moved)),
                    }
                )
    return detections


def _samples(coco: COCO, img_ids: list[int], detections: list[dict]) -> list[dict]:
    """The detections as mmdet data samples; labels follow the sorted category ids."""
    label = {category: i for i, category in enumerate(sorted(coco.getCatIds()))}
    samples = []
    for img_id in img_ids:
        image = coco.imgs[img_id]
        own = [d for d in detections if d["image_id"] == img_id]
        masks = np.zeros((len(own), image["height"], image["width"]), dtype=bool)
        for i, detection in enumerate(own):
            masks[i] = tools.decode(detection["segmentation"])
        samples.append(
            {
                "img_id": img_id,
                "ori_shape": (image["height"], image["width"]),
                "pred_instances": {
                    "masks": torch.from_numpy(masks),
                    "labels": torch.tensor([label[d["category_id"]] for d in own]),
                    "scores": torch.tensor([d["score"] for d in own], dtype=torch.float64),
                },
            }
        )
    return samples


def _reference(coco: COCO, detections: list[dict], img_ids: list[int], **params: Any) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        result = coco.loadRes([dict(d) for d in detections])
        evaluation = COCOeval(coco, result, "segm")
        evaluation.params.imgIds = img_ids
        for key, value in params.items():
            setattr(evaluation.params, key, value)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.fixture(scope="module")
def coco(instances_json: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(instances_json))


@pytest.fixture(scope="module")
def classes(coco: COCO) -> tuple[str, ...]:
    return tuple(coco.cats[i]["name"] for i in sorted(coco.getCatIds()))


@pytest.mark.parametrize(("seed", "stride"), [(0, 1), (1, 3)])
def test_agrees_with_pycocotools(coco, classes, instances_json, evaluate, seed, stride) -> None:
    """All images, and every third: only processed images count."""
    img_ids = sorted(coco.getImgIds())[::stride]
    assert any(a["iscrowd"] for a in coco.loadAnns(coco.getAnnIds(imgIds=img_ids)))
    detections = _perturbed(coco, img_ids, seed)
    metric = CocoInstanceMetric(str(instances_json), classwise=True)
    # Reversed: the order of the samples must not matter.
    values = evaluate(metric, classes, _samples(coco, img_ids, detections)[::-1])

    reference = _reference(coco, detections, img_ids)
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    stats = np.where(reference.stats == -1, np.nan, reference.stats)
    assert [values[n] for n in names] == pytest.approx(stats[:6], abs=1e-6, nan_ok=True)
    recalls = [values[n] for n in ("AR@1", "AR@10", "AR@100")]
    assert recalls == pytest.approx(stats[6:9], abs=1e-6)
    assert values["AR"] == values["AR@100"]
    assert 0.2 < values["AP"] < 0.9
    for k, name in enumerate(classes):
        precision = reference.eval["precision"][:, :, k, 0, -1]
        expected = np.nan if precision.max() == -1 else precision.mean()
        assert values[f"AP/{name}"] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_livecell_areas_agree_with_pycocotools(coco, classes, instances_json, evaluate) -> None:
    img_ids = sorted(coco.getImgIds())[:60]
    detections = _perturbed(coco, img_ids, 2)
    metric = CocoInstanceMetric(str(instances_json), preset="livecell")
    assert metric.settings["max_dets"] == [100, 500, 2000]
    values = evaluate(metric, classes, _samples(coco, img_ids, detections))
    ranges = [[0, 1e10], [0, 18**2], [18**2, 31**2], [31**2, 1e10]]
    # Precision straight from the table: pycocotools' own summary ignores maxDets.
    table = _reference(coco, detections, img_ids, areaRng=ranges, maxDets=[100, 500, 2000]).eval[
        "precision"
    ][..., -1]
    for area, name in enumerate(["AP", "APs", "APm", "APl"]):
        valid = table[..., area][table[..., area] > -1]
        assert values[name] == pytest.approx(valid.mean(), abs=1e-6)


def _repeat(coco: COCO, img_ids: list[int], copies: np.ndarray) -> tuple[COCO, dict[int, list]]:
    """A data set that holds images several times in a row under new ids, and these ids."""
    content: dict[str, Any] = {"categories": coco.dataset["categories"]}
    content |= {"images": [], "annotations": []}
    new_ids: dict[int, list[int]] = {}
    for img_id, times in zip(img_ids, copies.tolist(), strict=True):
        for _ in range(times):
            image = {**coco.imgs[img_id], "id": len(content["images"]) + 1}
            content["images"].append(image)
            new_ids.setdefault(img_id, []).append(image["id"])
            for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[img_id])):
                number = len(content["annotations"]) + 1
                content["annotations"].append({**annotation, "id": number, "image_id": image["id"]})
    repeated = COCO()
    repeated.dataset = {"info": {}, **content}
    with contextlib.redirect_stdout(io.StringIO()):
        repeated.createIndex()
    return repeated, new_ids


def test_resamples_agree_with_pycocotools(coco, classes, instances_json) -> None:
    """Masks, crowds, tied scores; scores rounded to 0.1 to tie in one image as well."""
    img_ids = sorted(coco.getImgIds())[:40]
    detections = _perturbed(coco, img_ids, 3)
    for detection in detections:
        detection["score"] = round(detection["score"], 1)
    metric = CocoInstanceMetric(str(instances_json), classwise=True)
    metric.dataset_meta = {"classes": classes}
    metric.process(None, _samples(coco, img_ids, detections))
    values = metric.evaluate(len(img_ids))
    assert metric.table is not None
    own = score(metric.table)
    assert {f"coco/{key}" for key in own} == values.keys()
    for key, value in own.items():
        assert value[0] == pytest.approx(values[f"coco/{key}"], abs=1e-12, nan_ok=True)

    weights = resample_weights(len(img_ids), 3, seed=0)
    found = score(metric.table, weights)
    for row, copies in enumerate(weights):
        repeated, new_ids = _repeat(coco, img_ids, copies)
        own_detections = [
            {**detection, "image_id": img_id}
            for detection in detections
            for img_id in new_ids.get(detection["image_id"], [])
        ]
        reference = _reference(repeated, own_detections, sorted(repeated.getImgIds()))
        for key, value in values_of(reference, classes, "sml", (1, 10, 100)).items():
            assert found[key][row] == pytest.approx(value, abs=1e-9, nan_ok=True), key
    assert len({value for value in found["AP"].tolist()}) == 3


def _dense_image(count: int = 300) -> tuple[np.ndarray, dict]:
    masks = np.zeros((count, 3 * count // 20 + 3, 60), dtype=bool)
    for i in range(count):
        y, x = 3 * (i // 20), 3 * (i % 20)
        masks[i, y : y + 2, x : x + 2] = True
    labels = torch.zeros(count, dtype=torch.long)
    scores = torch.linspace(0.1, 0.9, count)
    sample = {
        "img_id": 5,
        "ori_shape": masks.shape[1:],
        "gt_instances": {"masks": masks, "labels": labels},
        "pred_instances": {"masks": masks, "labels": labels, "scores": scores},
    }
    return masks, sample


def test_dense_image_of_300_objects(evaluate, rle, tmp_path) -> None:
    masks, sample = _dense_image()
    values = evaluate(CocoInstanceMetric(max_dets=(1, 100, 300)), ("cell",), [sample])
    assert values["AP"] == values["AP50"] == values["APs"] == values["AR"] == 1.0
    # The limit is real: 100 of 300 found reach 34 of the 101 recall points.
    values = evaluate(CocoInstanceMetric(max_dets=(1, 10, 100)), ("cell",), [sample])
    assert values["AP"] == pytest.approx(34 / 101)
    annotations = [
        # pycocotools takes id 0 for "unmatched"; numbering here starts at 0 on purpose.
        {"id": i, "image_id": 5, "category_id": 4, "area": 4, "iscrowd": 0, "segmentation": rle(m)}
        for i, m in enumerate(masks)
    ]
    height, width = masks.shape[1:]
    path = tmp_path / "dense.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 5, "height": height, "width": width}],
                "annotations": annotations,
                "categories": [{"id": 4, "name": "cell"}],
            }
        )
    )
    values = evaluate(CocoInstanceMetric(str(path), preset="livecell"), ("cell",), [sample])
    assert values["AP"] == 1.0


def test_boxes_agree_with_pycocotools(evaluate) -> None:
    _, sample = _dense_image(50)
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.integers(0, 60, (50, 2, 2)), axis=1).reshape(50, 4) + [0, 0, 1, 1]
    moved = boxes + rng.integers(-2, 3, boxes.shape)
    sample["gt_instances"]["bboxes"] = torch.from_numpy(boxes)
    sample["pred_instances"]["bboxes"] = torch.from_numpy(moved).float()
    values = evaluate(CocoInstanceMetric(iou_type="bbox"), ("cell",), [sample])

    def to_coco(corners: np.ndarray, scores: list[float]) -> list[dict]:
        return [
            {
                "id": i,
                "image_id": 5,
                "category_id": 1,
                "iscrowd": 0,
                "score": s,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
            }
            for i, ((x0, y0, x1, y1), s) in enumerate(zip(corners.tolist(), scores, strict=True), 1)
        ]

    truth = COCO()
    scores = sample["pred_instances"]["scores"].tolist()
    truth.dataset = {
        "info": {},
        "images": [{"id": 5}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": to_coco(boxes, scores),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(to_coco(moved, scores)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert values["AP"] == pytest.approx(evaluation.stats[0], abs=1e-6)
    assert 0 < values["AP"] < 1
