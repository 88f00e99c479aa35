"""PanopticMetric against the words of the paper, on COCO's own panoptic files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attnseg.evaluation import PanopticMetric

Segments = dict[int, tuple[int, bool]]


@pytest.fixture
def files(data_root, panoptic_files) -> dict[str, str]:
    """Two images of COCO with 133 classes, or generated ones where there is no data."""
    if data_root is not None:
        folder = data_root / "coco_panoptic2"
        return {
            "ann_file": str(folder / "panoptic_examples.json"),
            "seg_prefix": str(folder / "panoptic"),
        }
    rng = np.random.default_rng(0)
    blocks = (rng.permutation(9).reshape(3, 3) for _ in range(2))
    maps = {i: np.kron(ids, np.ones((40, 36), int)) for i, ids in enumerate(blocks, 1)}
    segments = {i: [(k, k % 4 + 1, int(k == 8)) for k in range(1, 9)] for i in maps}
    return panoptic_files(maps, segments, [(k, f"c{k}", int(k < 3)) for k in range(1, 5)])


def _quality(total: dict[int, list[float]], categories: list[int]) -> dict[str, float]:
    """PQ, SQ and RQ (equations 1 and 2) over the categories that occur."""
    rows = [total[c] for c in categories if sum(total[c][1:])]
    sums = [iou / (tp + fp / 2 + fn / 2) for iou, tp, fp, fn in rows]
    return {
        "PQ": np.mean(sums),
        "SQ": np.mean([iou / tp if tp else 0.0 for iou, tp, _, _ in rows]),
        "RQ": np.mean([tp / (tp + fp / 2 + fn / 2) for _, tp, fp, fn in rows]),
    }


def _count(
    total: dict[int, list[float]], gt: np.ndarray, truth: Segments, pred: np.ndarray,
    segments: dict[int, int],
) -> None:  # fmt: skip
    """Segment matching of section 4.1 and void of 4.2, with whole masks; crowds as COCO's code."""
    void = ~np.isin(gt, list(truth))
    found = set()
    for i, category in segments.items():
        mask = pred == i
        best = 0.0
        for j, (other, crowd) in truth.items():
            if other == category and not crowd:
                true = gt == j
                iou = (mask & true).sum() / ((mask | true) & ~(mask & void)).sum()
                if iou > 0.5:
                    best = iou
                    found.add(j)
        if best:
            total[category][0] += best
            total[category][1] += 1
            continue
        crowds = [j for j, (other, crowd) in truth.items() if crowd and other == category]
        if (mask & (void | np.isin(gt, crowds))).sum() / mask.sum() <= 0.5:
            total[category][2] += 1
    for j, (category, crowd) in truth.items():
        if j not in found and not crowd:
            total[category][3] += 1


def _perturbed(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift, break up and merge segments."""
    pred = np.roll(ids, rng.integers(-9, 10, 2), (0, 1))
    present = np.unique(pred)
    for source, target in rng.choice(present, (max(1, len(present) // 6), 2)):
        pred = np.where(pred == source, target, pred)
    noise = np.kron(rng.random((ids.shape[0] // 8 + 1, ids.shape[1] // 8 + 1)), np.ones((8, 8)))
    return np.where(noise[: ids.shape[0], : ids.shape[1]] < 0.15, rng.choice(present), pred)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_definition(files, evaluate, seed: int) -> None:
    content = json.loads(Path(files["ann_file"]).read_text())
    rng = np.random.default_rng(seed)
    order = sorted(content["categories"], key=lambda c: (-c["isthing"], c["id"]))
    label_of = {c["id"]: label for label, c in enumerate(order)}
    total = {c["id"]: [0.0, 0, 0, 0] for c in order}
    samples = []
    for annotation in content["annotations"]:
        rgb = np.asarray(Image.open(Path(files["seg_prefix"]) / annotation["file_name"]), int)
        gt = rgb @ [1, 256, 256**2]
        truth = {
            s["id"]: (s["category_id"], bool(s["iscrowd"])) for s in annotation["segments_info"]
        }
        pred = _perturbed(gt, rng)
        # Some segments get another class; stuff of one class is one segment, as models give it.
        values = np.full(gt.shape, len(order))
        for number, i in enumerate(sorted(set(np.unique(pred).tolist()) & set(truth)), 1):
            category = truth[i][0] if rng.random() < 0.8 else order[rng.integers(len(order))]["id"]
            thing = order[label_of[category]]["isthing"]
            values[pred == i] = label_of[category] + (1000 * number if thing else 0)
        segments = {
            int(v): order[v % 1000]["id"] for v in np.unique(values) if v % 1000 < len(order)
        }
        _count(total, gt, truth, values, segments)
        samples.append(
            {
                "img_id": annotation["image_id"],
                "pred_panoptic_seg": {"sem_seg": torch.from_numpy(values)[None]},
            }
        )
    classes = tuple(c["name"] for c in order)
    meta = {"thing_classes": tuple(c["name"] for c in order if c["isthing"])}
    found = evaluate(PanopticMetric(**files), classes, samples, **meta)
    things = [c["id"] for c in order if c["isthing"]]
    stuff = [c["id"] for c in order if not c["isthing"]]
    expected = {}
    for suffix, chosen in (("", things + stuff), ("_th", things), ("_st", stuff)):
        expected |= {key + suffix: v for key, v in _quality(total, chosen).items()}
    assert found == pytest.approx(expected, abs=1e-12)
    # Perturbed, but not beyond recognition: otherwise zeros would agree.
    assert 0.05 < found["PQ"] < 0.9


def test_nothing_predicted(files, evaluate) -> None:
    content = json.loads(Path(files["ann_file"]).read_text())
    classes = tuple(c["name"] for c in content["categories"])
    samples = []
    for annotation in content["annotations"]:
        with Image.open(Path(files["seg_prefix"]) / annotation["file_name"]) as image:
            values = np.full(image.size[::-1], len(classes))
        sem_seg = torch.from_numpy(values)[None]
        samples.append(
            {"img_id": annotation["image_id"], "pred_panoptic_seg": {"sem_seg": sem_seg}}
        )
    values = evaluate(PanopticMetric(**files, classwise=True), classes, samples)
    assert values["PQ"] == values["SQ"] == values["RQ"] == 0.0
    # Classes that are in no image have no value, and no part in the mean.
    present = {s["category_id"] for a in content["annotations"] for s in a["segments_info"]}
    for category in content["categories"]:
        missing = np.isnan(values[f"PQ/{category['name']}"])
        assert missing == (category["id"] not in present)
