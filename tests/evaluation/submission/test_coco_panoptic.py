"""COCO panoptic: the packed truth has PQ 1, and each defect is found."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnseg.coco_files import read_segment_ids
from attnseg.compat import id2rgb
from attnseg.evaluation import PanopticMetric
from attnseg.evaluation.submission.formats import pack, validate
from attnseg.evaluation.submission.png import png_bytes
from attnseg.evaluation.submission.target import coco_target

KIND = "coco-panoptic"
STEM = "panoptic_val2017_attnseg_results"


@pytest.fixture(scope="module")
def packed(panoptic, tmp_path_factory) -> tuple[Path, Any]:
    saved, files = panoptic
    out = tmp_path_factory.mktemp("out") / f"{STEM}.zip"
    target = coco_target(files["ann_file"], "panoptic")
    findings = pack(KIND, saved, target, out)
    assert not findings.errors and not findings.warnings
    return out, target


def test_packed_truth_has_pq_1(packed, panoptic, evaluate, tmp_path: Path) -> None:
    saved, files = panoptic
    with zipfile.ZipFile(packed[0]) as file:
        file.extractall(tmp_path)
    content = json.loads((tmp_path / f"{STEM}.json").read_text())
    categories = {c["id"]: saved.classes.index(c["name"]) for c in packed[1].categories}
    samples = []
    for annotation in content["annotations"]:
        ids = read_segment_ids(str(tmp_path / STEM / annotation["file_name"]))
        values = np.full(ids.shape, len(saved.classes))
        for info in annotation["segments_info"]:
            values[ids == info["id"]] = categories[info["category_id"]] + 1000 * info["id"]
        sample = {"img_id": annotation["image_id"], "pred_panoptic_seg": {"sem_seg": values}}
        samples.append(sample)
    things = [name for name, thing in zip(saved.classes, saved.things, strict=True) if thing]
    scores = evaluate(PanopticMetric(**files), saved.classes, samples, thing_classes=things)
    assert [scores[key] for key in ("PQ", "PQ_th", "PQ_st", "SQ", "RQ")] == [1.0] * 5


def test_validation_of_what_was_packed(packed) -> None:
    findings = validate(KIND, *packed)
    assert not findings.errors and not findings.warnings


def test_stuff_of_one_class_is_one_segment(predict, tmp_path: Path) -> None:
    categories = [{"id": 5, "name": "cat", "isthing": 1}, {"id": 3, "name": "sky", "isthing": 0}]
    images = [{"id": 1, "file_name": "x/a.jpg", "height": 2, "width": 3}]
    (tmp_path / "info.json").write_text(json.dumps({"images": images, "categories": categories}))
    values = np.array([[0, 1000, 2], [1, 4001, 8001]])
    sample = {"img_id": 1, "img_path": "a.jpg", "pred_panoptic_seg": {"sem_seg": values}}
    saved = predict(tmp_path / "p", [sample], ["cat", "sky"], ["cat"])
    target = coco_target(str(tmp_path / "info.json"), "panoptic")
    assert not pack(KIND, saved, target, tmp_path / f"{STEM}.zip").errors
    with zipfile.ZipFile(tmp_path / f"{STEM}.zip") as file:
        annotation = json.loads(file.read(f"{STEM}.json"))["annotations"][0]
        (tmp_path / "a.png").write_bytes(file.read(f"{STEM}/a.png"))
    assert annotation["segments_info"] == [
        {"id": 1, "category_id": 5},
        {"id": 2, "category_id": 3},
        {"id": 3, "category_id": 5},
    ]
    assert read_segment_ids(str(tmp_path / "a.png")).tolist() == [[1, 3, 0], [2, 2, 2]]


def _json(edit: Callable[[list], Any]) -> dict[str, Callable[[bytes], bytes]]:
    def change(data: bytes) -> bytes:
        content = json.loads(data)
        edit(content["annotations"])
        return json.dumps(content).encode()

    return {f"{STEM}.json": change}


def _segments(edit: Callable[[list], Any]) -> dict[str, Callable[[bytes], bytes]]:
    return _json(lambda annotations: edit(annotations[0]["segments_info"]))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (_json(list.pop), "image without a prediction"),
        (_json(list.pop), "surplus file, which the json does not name"),
        (_json(lambda a: a.append(a[0])), "image with two predictions"),
        (_json(lambda a: a[0].update(image_id=-1)), "unknown image id"),
        (_json(lambda a: a[0].update(file_name="no.png")), "file_name that is not <image stem>"),
        (_json(lambda a: a[0].update(file_name="../no.png")), "missing file"),
        (_json(lambda a: a[0].pop("segments_info")), "annotation without image_id"),
        (_json(lambda a: a[0].update(image_id=[1])), "annotation without image_id"),
        (_segments(list.pop), "segment of the PNG that the json does not list"),
        (
            _segments(lambda s: s.append({**s[0], "id": 9999})),
            "segment of the json that the PNG does not have",
        ),
        (_segments(lambda s: s.append(s[0])), "overlapping segments: one id, several times"),
        (_segments(lambda s: s[0].update(area=1)), "overlapping segments: area in the json"),
        (_segments(lambda s: s[0].update(id=0)), "segment id outside 1 to 2^24 - 1"),
        (_segments(lambda s: s[0].update(category_id=999)), "unknown category id"),
        (_segments(lambda s: s[0].pop("category_id")), "annotation without image_id"),
        ({f"{STEM}.json": lambda data: data[:-5]}, "damaged file"),
        ({f"{STEM}.json": b"[]"}, "damaged file"),
        ({f"{STEM}.json": None}, "missing file"),
        ({"extra.png": b""}, "surplus file, which the json does not name"),
    ],
)
def test_defects(packed, changes: dict, kind: str, edit_zip, tmp_path: Path) -> None:
    edit_zip(packed[0], tmp_path / f"{STEM}.zip", changes)
    errors = validate(KIND, tmp_path / f"{STEM}.zip", packed[1]).errors
    assert [error for error in errors if error.kind.startswith(kind)], list(map(str, errors))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (None, "missing file"),
        (lambda data: data[:-20], "damaged file"),
        (b"no image", "damaged file"),
        (png_bytes(np.zeros((4, 5), np.uint8)), "image of the wrong size"),
        (png_bytes(id2rgb(np.zeros((4, 5), int))), "image of the wrong size"),
    ],
)
def test_defects_of_png_files(packed, content: Any, kind: str, edit_zip, tmp_path: Path) -> None:
    name = f"{STEM}/{Path(packed[1].images[0].name).stem}.png"
    edit_zip(packed[0], tmp_path / f"{STEM}.zip", {name: content})
    (error,) = validate(KIND, tmp_path / f"{STEM}.zip", packed[1]).errors
    assert error.kind.startswith(kind) and name in error.examples[0]


def test_mode_of_png_files(packed, edit_zip, tmp_path: Path) -> None:
    name = f"{STEM}/{Path(packed[1].images[0].name).stem}.png"
    grey = png_bytes(np.zeros(packed[1].images[0].size, np.uint8))
    edit_zip(packed[0], tmp_path / f"{STEM}.zip", {name: grey})
    (error,) = validate(KIND, tmp_path / f"{STEM}.zip", packed[1]).errors
    assert error.kind == "image of the wrong mode (RGB is asked for)"
    assert error.examples == [f"{name} has L"]


def test_predictions_without_panoptic_maps(coco, packed, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no panoptic prediction, only instances"):
        pack(KIND, coco[0], packed[1], tmp_path / f"{STEM}.zip")
