"""PanopticMetric on files and data samples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS as ROOT_METRICS
from PIL import Image

from attnseg.evaluation import BoundaryMetric, PanopticMetric, SemanticMetric
from attnseg.evaluation.functional import Segment
from attnseg.evaluation.panoptic_truth import PanopticTruth

CLASSES = ("nucleus", "sky", "ground")
META = {"thing_classes": ("nucleus",), "stuff_classes": ("sky", "ground")}
CATEGORIES = [(40, "ground", 0), (7, "nucleus", 1), (9, "sky", 0)]
VOID = 3


@pytest.fixture
def two_images(panoptic_files) -> dict[str, str]:
    """Image 1: nuclei 300 and 70000 on sky and void; image 2: only void, not square."""
    ids = np.zeros((6, 8), dtype=np.int64)
    ids[:2], ids[3, :4], ids[3, 4:], ids[4:] = 0, 300, 70000, 5
    return panoptic_files(
        {1: ids, 2: np.zeros((3, 5), dtype=np.int64)},
        {1: [(300, 7, 0), (70000, 7, 0), (5, 9, 0)], 2: []},
        CATEGORIES,
    )


def _sample(img_id: int, values: np.ndarray) -> dict:
    seg = {"sem_seg": torch.as_tensor(np.asarray(values))[None]}
    return {"img_id": img_id, "img_path": f"{img_id}.jpg", "pred_panoptic_seg": seg}


def _truth_as_prediction(files: dict[str, str], classes, meta, img_id: int) -> np.ndarray:
    truth = PanopticTruth(**files)
    truth.set_classes(classes, meta)
    with Image.open(Path(files["seg_prefix"]) / truth._annotations[img_id]["file_name"]) as image:
        size = image.size[::-1]
    ids, segments = truth.segments(img_id, size)
    values = np.full(size, len(classes))
    for index, (key, segment) in enumerate(segments.items(), 1):
        values[ids == key] = segment.label + 1000 * index
    return values


def _prediction(two_images) -> list[dict]:
    return [_sample(i, _truth_as_prediction(two_images, CLASSES, META, i)) for i in (1, 2)]


def test_truth_as_prediction_is_perfect(two_images, evaluate) -> None:
    metric = ROOT_METRICS.build({"type": "attnseg.PanopticMetric", "classwise": True, **two_images})
    values = evaluate(metric, CLASSES, _prediction(two_images), **META)
    perfect = [f"{q}{g}" for q in ("PQ", "SQ", "RQ") for g in ("", "_th", "_st")]
    assert [values[key] for key in perfect] == [1.0] * 9
    assert values["PQ/nucleus"] == values["SQ/sky"] == 1.0
    assert np.isnan(values["PQ/ground"])


def test_things_and_stuff_apart(two_images, evaluate) -> None:
    # One of two nuclei found, and the sky called ground.
    first, second = _prediction(two_images)
    seg = first["pred_panoptic_seg"]["sem_seg"]
    seg[0, 3, 4:] = VOID
    seg[0, 4:] = 2
    values = evaluate(PanopticMetric(**two_images), CLASSES, [first, second], **META)
    # nucleus: 1 / (1 + 0.5); sky (missed) and ground (false) are 0.
    assert values["PQ_th"] == pytest.approx(2 / 3)
    assert values["SQ_th"] == 1.0
    assert values["PQ_st"] == 0.0
    assert values["PQ"] == pytest.approx(2 / 9)


@pytest.mark.parametrize("void", [VOID, 255, 255 + 4000, 777])
def test_void_values_of_the_prediction(two_images, evaluate, void: int) -> None:
    samples = [_sample(1, np.full((6, 8), void)), _sample(2, np.full((3, 5), void))]
    for sample in samples:
        sample["pred_panoptic_seg"]["ignore_index"] = 777
    values = evaluate(PanopticMetric(**two_images), CLASSES, samples, **META)
    assert values["PQ"] == values["SQ"] == values["RQ"] == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_small_integer_types_of_the_prediction(two_images, evaluate, dtype: type) -> None:
    # One nucleus in place of two, on sky; values below 256 are stuff or a thing's instance 0.
    values = np.full((6, 8), VOID)
    values[3, :4], values[4:] = 0, 1
    for metric in (PanopticMetric, SemanticMetric, BoundaryMetric):
        wide = evaluate(metric(**two_images), CLASSES, [_sample(1, values)], **META)
        small = evaluate(metric(**two_images), CLASSES, [_sample(1, values.astype(dtype))], **META)
        assert small == wide
    assert wide["mBoundaryIoU"] > 0


def test_only_void_is_nan(two_images, evaluate) -> None:
    samples = [_sample(2, np.full((3, 5), VOID))]
    values = evaluate(PanopticMetric(**two_images), CLASSES, samples, **META)
    assert all(np.isnan(value) for value in values.values())


def test_semantic_truth_from_panoptic_files(two_images, evaluate) -> None:
    values = evaluate(SemanticMetric(**two_images), CLASSES, _prediction(two_images), **META)
    assert values == {"mIoU": 1.0, "mAcc": 1.0, "mDice": 1.0, "aAcc": 1.0}


def test_same_name_as_thing_and_stuff(panoptic_files, evaluate) -> None:
    ids = np.array([[1, 1, 2, 2]])
    files = panoptic_files(
        {1: ids}, {1: [(1, 30, 0), (2, 20, 0)]}, [(20, "rock", 0), (30, "rock", 1)]
    )
    metric = PanopticMetric(**files, classwise=True)
    meta = {"thing_classes": ["rock"], "stuff_classes": ["rock"]}
    values = evaluate(metric, ("rock", "rock"), [_sample(1, [[1000, 1000, 1, 1]])], **meta)
    assert values["PQ/rock#0"] == values["PQ/rock#1"] == 1.0
    assert values["PQ_th"] == values["PQ_st"] == 1.0


def test_unselected_category_is_void(two_images, evaluate) -> None:
    samples = [_sample(1, np.where(np.arange(6)[:, None] < 4, [[1]], 0).repeat(8, 1))]
    metric = PanopticMetric(**two_images)
    with pytest.raises(ValueError, match="'nebula'.*ground, nucleus, sky"):
        evaluate(metric, ("sky", "nebula"), samples)
    values = evaluate(metric, ("sky",), [_sample(1, (np.arange(6) < 4)[:, None].repeat(8, 1) * 1)])
    assert values["PQ"] == 1.0


def test_official_coco_panoptic_files(data_root, two_images, evaluate) -> None:
    """Prediction = truth on COCO's own sample, or on the generated one without data."""
    files, ids = two_images, [1, 2]
    if data_root is not None:
        folder = data_root / "coco_panoptic2"
        files = {
            "ann_file": str(folder / "panoptic_examples.json"),
            "seg_prefix": str(folder / "panoptic"),
        }
        ids = [142238, 439180]
    truth = PanopticTruth(**files)
    order = sorted(truth._categories, key=lambda c: (not c["isthing"], c["id"]))
    classes = tuple(c["name"] for c in order)
    meta = {"thing_classes": tuple(c["name"] for c in order if c["isthing"])}
    samples = [_sample(i, _truth_as_prediction(files, classes, meta, i)) for i in ids]
    for sample in samples:
        sample["img_path"] = f"somewhere/{truth._names[sample['img_id']]}"
    values = evaluate(PanopticMetric(**files), classes, samples, **meta)
    assert set(values.values()) == {1.0}
    assert set(evaluate(SemanticMetric(**files), classes, samples, **meta).values()) == {1.0}


def test_truth_of_another_data_set_with_the_same_ids(two_images, evaluate) -> None:
    sample = _sample(1, np.full((6, 8), VOID))
    for path in ("train/17.jpg", "train\\17.jpg"):
        for metric in (PanopticMetric, SemanticMetric, BoundaryMetric):
            with pytest.raises(
                ValueError, match=r"id 1 is '1\.jpg' in .*panoptic\.json', .*17\.jpg"
            ):
                evaluate(metric(**two_images), CLASSES, [sample | {"img_path": path}], **META)
    # The folder is no matter, nor is the suffix; without a path there is nothing to compare.
    for path in ("other/1.jpg", "1.png", None):
        evaluate(PanopticMetric(**two_images), CLASSES, [sample | {"img_path": path}], **META)


def test_bad_predictions(two_images, evaluate) -> None:
    metric = PanopticMetric(**two_images)
    with pytest.raises(ValueError, match=r"id 1.*\(6, 7\).*1\.png.*\(6, 8\)"):
        evaluate(metric, CLASSES, [_sample(1, np.full((6, 7), VOID))], **META)
    with pytest.raises(ValueError, match=r"img_id 1.*label 50.*3 classes"):
        evaluate(metric, CLASSES, [_sample(1, np.full((6, 8), 2050))], **META)
    with pytest.raises(ValueError, match=r"float.*expected integers"):
        evaluate(metric, CLASSES, [_sample(1, np.zeros((6, 8)))], **META)
    with pytest.raises(KeyError, match="no annotation of image id 8"):
        evaluate(metric, CLASSES, [_sample(8, np.full((6, 8), VOID))], **META)
    with pytest.raises(KeyError, match="pred_panoptic_seg"):
        evaluate(metric, CLASSES, [{"img_id": 1}], **META)
    with pytest.raises(ValueError, match="dataset_meta"):
        evaluate(metric, None, [_sample(1, np.full((6, 8), VOID))])


def test_bad_files(two_images, tmp_path, instances_json, evaluate) -> None:
    png = Path(two_images["seg_prefix"]) / "1.png"
    sample = [_sample(1, np.full((6, 8), VOID))]
    Image.open(png).convert("L").save(png)
    with pytest.raises(ValueError, match=r"1\.png' has mode L"):
        evaluate(PanopticMetric(**two_images), CLASSES, sample, **META)
    Image.new("RGB", (8, 6), (9, 0, 0)).save(png)
    with pytest.raises(ValueError, match=r"segment ids \[9\]"):
        evaluate(PanopticMetric(**two_images), CLASSES, sample, **META)
    png.write_bytes(png.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"1\.png' cannot be decoded"):
        evaluate(PanopticMetric(**two_images), CLASSES, sample, **META)
    png.unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.png"):
        evaluate(PanopticMetric(**two_images), CLASSES, sample, **META)
    with pytest.raises(FileNotFoundError, match=r"nowhere.*seg_prefix"):
        PanopticMetric(two_images["ann_file"], str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        PanopticMetric(str(tmp_path / "nothing.json"), str(tmp_path))
    with pytest.raises(ValueError, match="segments_info"):
        PanopticMetric(str(instances_json), str(tmp_path))
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"cut\.json' is not valid JSON"):
        PanopticMetric(str(tmp_path / "cut.json"), str(tmp_path))


def test_crowd_keeps_its_class_in_the_semantic_map(panoptic_files) -> None:
    truth = PanopticTruth(**panoptic_files({1: np.array([[1, 0]])}, {1: [(1, 7, 1)]}, CATEGORIES))
    truth.set_classes(CLASSES, META)
    assert truth.segments(1, (1, 2))[1] == {1: Segment(0, True)}
    assert truth.semantic_map(1, (1, 2), 255).tolist() == [[0, 255]]
