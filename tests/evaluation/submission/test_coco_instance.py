"""COCO detections: the packed truth scores AP 1, and each defect is found."""

import errno
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from attnseg.evaluation.submission import archive
from attnseg.evaluation.submission.formats import pack, validate
from attnseg.evaluation.submission.target import coco_target

KIND = "coco-instance"
STEM = "detections_val2017_attnseg_results"


@pytest.fixture(scope="module")
def packed(coco, tmp_path_factory) -> tuple[Path, Any]:
    saved, ann_file = coco
    out, target = tmp_path_factory.mktemp("out") / f"{STEM}.zip", coco_target(ann_file, "instances")
    findings = pack(KIND, saved, target, out, boxes=True)
    assert not findings.errors
    return out, target


def test_packed_truth_has_ap_1(packed, coco, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed[0]) as file:
        assert file.namelist() == [f"{STEM}.json"]
        file.extractall(tmp_path)
    truth = COCO(str(coco[1]))
    for iou_type in ("segm", "bbox"):
        scores = COCOeval(truth, truth.loadRes(str(tmp_path / f"{STEM}.json")), iou_type)
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
        if iou_type == "segm":
            assert scores.stats[0] == pytest.approx(1, abs=1e-9)
    # Boxes are those of the masks' pixels, the file's are of the polygons.
    assert scores.stats[1] > 0.9


def test_validation_of_what_was_packed(packed) -> None:
    findings = validate(KIND, *packed)
    assert not findings.errors
    assert {f.kind for f in findings.warnings} <= {"image without a detection", "empty mask"}


def test_only_the_best_are_kept(coco, tmp_path: Path) -> None:
    saved, ann_file = coco
    out = tmp_path / f"{STEM}.zip"
    target = coco_target(ann_file, "instances")
    pack(KIND, saved, target, out, max_per_image=2)
    with zipfile.ZipFile(out) as file:
        records = json.loads(file.read(f"{STEM}.json"))
    assert "bbox" not in records[0]
    image = max(saved, key=lambda image: len(saved.instances(image)))
    scores = [r["score"] for r in records if r["image_id"] == image.id]
    assert scores == np.sort(saved.instances(image).scores)[::-1][:2].tolist()


def _first(**changes: Any) -> Callable[[list], Any]:
    def edit(records: list) -> list:
        changed = {**records[0], **changes}
        return [{k: v for k, v in changed.items() if v is not ...}, *records[1:]]

    return edit


def _counts(counts: object) -> Callable[[list], Any]:
    return lambda r: _first(segmentation={**r[0]["segmentation"], "counts": counts})(r)


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        (_first(image_id=-5), "unknown image id"),
        (_first(image_id=[1]), "unknown image id"),
        (_first(category_id=999), "unknown category id"),
        (_first(category_id="person"), "unknown category id"),
        (_first(score=float("nan")), "score that is no number"),
        (_first(score="0.5"), "score that is no number"),
        (_first(score=float("inf")), "score that is no number"),
        (_first(score=...), "detection without score"),
        (_first(segmentation={"size": [3, 4], "counts": "<"}), "mask that does not fit its image"),
        (_first(segmentation=[[1, 2, 3, 4, 5, 6]]), "mask that does not fit its image"),
        (_counts("11"), "mask that does not fit its image"),
        (_counts("~~"), "mask that does not fit its image"),
        (_counts(""), "mask that does not fit its image"),
        (_counts([0, 24]), "mask whose 'counts' are no text: the server reads compressed RLE"),
        (_first(bbox=[1, 2, -3, 4]), "bbox that is not x, y, width, height"),
        (lambda records: [], "no detection at all: the server cannot read an empty list"),
        (lambda records: {"annotations": records}, "damaged file"),
        (lambda records: [*records, 7], "damaged file"),
    ],
)
def test_defects(packed, edit, kind: str, edit_zip, tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        return json.dumps(edit(json.loads(data))).encode()

    edit_zip(packed[0], tmp_path / f"{STEM}.zip", {f"{STEM}.json": change})
    findings = validate(KIND, tmp_path / f"{STEM}.zip", packed[1])
    assert kind in [finding.kind for finding in findings.errors], list(map(str, findings.errors))


def test_all_defects_are_counted(packed, edit_zip, tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        records = json.loads(data)
        best = [{**records[0], "category_id": 999, "score": 2}] * 101
        return json.dumps(best).encode()

    edit_zip(packed[0], tmp_path / f"{STEM}.zip", {f"{STEM}.json": change})
    findings = validate(KIND, tmp_path / f"{STEM}.zip", packed[1])
    assert [finding.count for finding in findings.errors] == [101]
    assert str(findings.errors[0]).startswith("error: unknown category id (101x): 999 of")
    assert str(findings.errors[0]).endswith(", ...")
    kinds = {finding.kind: finding.count for finding in findings.warnings}
    assert kinds["score outside 0 to 1: the server only sorts by scores"] == 101
    assert kinds["more than 100 detections: the server takes the highest scores only"] == 1
    assert kinds["image without a detection"] == len(packed[1].images) - 1


def test_wrong_names_and_surplus_files(packed, edit_zip, tmp_path: Path) -> None:
    edit_zip(packed[0], tmp_path / "mine.zip", {"../evil.json": b"", "readme.txt": b""})
    kinds = {f.kind: f.examples for f in validate(KIND, tmp_path / "mine.zip", packed[1]).errors}
    assert kinds["member that would be unpacked outside its folder"] == ["../evil.json"]
    assert "readme.txt" in kinds["surplus file: only mine.json is asked for"]
    assert kinds["missing file"] == ["mine.json"]
    assert "file whose name is not as the server asks" in kinds


def test_cut_off_files(packed, edit_zip, tmp_path: Path) -> None:
    cut = tmp_path / f"{STEM}.zip"
    edit_zip(packed[0], cut, {f"{STEM}.json": lambda data: data[:-30]})
    errors = validate(KIND, cut, packed[1]).errors
    assert errors[0].kind == "damaged file" and f"{STEM}.json" in errors[0].examples[0]
    data = packed[0].read_bytes()
    cut.write_bytes(data[:-100])
    assert "cut off or no zip file" in validate(KIND, cut, packed[1]).errors[0].examples[0]
    cut.write_bytes(data[:300] + bytes(50) + data[350:])
    assert validate(KIND, cut, packed[1]).errors[0].kind == "damaged file"


def test_predictions_that_do_not_fit(coco, predict, tmp_path: Path) -> None:
    saved, ann_file = coco
    target, out = coco_target(ann_file, "instances"), tmp_path / f"{STEM}.zip"
    sample = {
        "img_id": 10**9,
        "img_path": "x.jpg",
        "ori_shape": (4, 5),
        "pred_instances": {"masks": np.ones((1, 4, 5)), "labels": [0], "scores": [0.5]},
    }
    stranger = predict(tmp_path / "stranger", [sample], saved.classes)
    with pytest.raises(ValueError, match=r"are not those of.*image without a prediction \(\d+x\)"):
        pack(KIND, stranger, target, out)
    with pytest.raises(ValueError, match=r"1 class\(es\).*names' are no categories of.*'unicorn'"):
        pack(KIND, predict(tmp_path / "names", [sample], ["unicorn"]), target, out)
    with pytest.raises(ValueError, match="empty' has no predictions"):
        pack(KIND, predict(tmp_path / "empty", [], saved.classes), target, out)
    with pytest.raises(ValueError, match="detections_<split>_<algorithm>_results"):
        pack(KIND, saved, target, tmp_path / "mine.zip")
    with pytest.raises(ValueError, match="servers take zip files"):
        pack(KIND, saved, target, tmp_path / f"{STEM}.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "names", "stranger"]


def test_images_of_another_split(coco, predict, tmp_path: Path) -> None:
    saved, ann_file = coco
    content = json.loads(Path(ann_file).read_text())
    content["images"], content["annotations"] = content["images"][:1], []
    image = content["images"][0]
    (tmp_path / "one.json").write_text(json.dumps(content))
    target, out = coco_target(tmp_path / "one.json", "instances"), tmp_path / f"{STEM}.zip"
    sample = {
        "img_id": image["id"],
        "img_path": "val/other.jpg",
        "pred_instances": {"masks": np.ones((1, 4, 5)), "labels": [0], "scores": [0.5]},
    }
    with pytest.raises(ValueError, match=r"size \(1x\).*\(4, 5\)"):
        pack(KIND, predict(tmp_path / "p", [sample], saved.classes), target, out)
    sample["pred_instances"]["masks"] = np.ones((1, image["height"], image["width"]))
    with pytest.raises(ValueError, match="they are of different data sets or splits"):
        pack(KIND, predict(tmp_path / "q", [sample], saved.classes), target, out)


def test_full_disk_leaves_the_old_file(coco, tmp_path: Path, monkeypatch) -> None:
    saved, ann_file = coco
    target, out = coco_target(ann_file, "instances"), tmp_path / f"{STEM}.zip"
    out.write_bytes(b"old")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match="No space"):
                pack(KIND, saved, target, out)
    with monkeypatch.context() as patch:
        patch.setattr(archive.zipfile._ZipWriteFile, "write", full)
        with pytest.raises(OSError, match="No space"):
            pack(KIND, saved, target, out)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b"old"
    pack(KIND, saved, target, out)
    assert out.stat().st_size > 1000


def test_at_least_one_detection_is_kept(coco, packed, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--max-per-image -1"):
        pack(KIND, coco[0], packed[1], tmp_path / f"{STEM}.zip", max_per_image=-1)
    assert not list(tmp_path.iterdir())
