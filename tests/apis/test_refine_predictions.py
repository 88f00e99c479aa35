"""Results of another model, refined: what changes, what stays, and AP before and after."""

import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from attnseg.apis.experiment import UsageError
from attnseg.apis.refine_predictions import (
    find_images,
    read_results,
    refine_results,
    score_results,
    with_mask,
)
from attnseg.evaluation.functional.boundary import boundary_iou, boundary_width
from tests.apis.refine_factory import REPO, write_model

SIZES = {7: (60, 80), 12: (48, 40)}


def rle(mask: np.ndarray) -> dict[str, Any]:
    found = rle_tools.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(v) for v in found["size"]], "counts": found["counts"].decode()}


def disc(size: tuple[int, int], x: int, y: int, radius: int) -> np.ndarray:
    return cv2.circle(np.zeros(size, np.uint8), (x, y), radius, 1, -1) > 0


def result(image: int, mask: np.ndarray, score: float, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "segmentation": rle(mask), "score": score, **more}


class Grow:
    """In place of a refiner: masks grow by two pixels; those of one pixel vanish."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def read(self, path: Path) -> np.ndarray:
        return np.array(Image.open(path).convert("RGB"))

    def refine_many(self, image: np.ndarray, strokes: list, batch_size: int) -> list[np.ndarray]:
        self.calls.append((len(strokes), batch_size))
        kernel = np.ones((5, 5), np.uint8)
        return [
            cv2.dilate(stroke.astype(np.uint8), kernel) > 0 if stroke.sum() > 1 else stroke & False
            for stroke in strokes
        ]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in SIZES.items():
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / f"{number:012}.png")
    return folder


@pytest.fixture
def records() -> list[dict[str, Any]]:
    polygon = result(7, np.zeros(SIZES[7]), 0.7, area=400.0)
    polygon["segmentation"] = [[10, 10, 30, 10, 30, 30, 10, 30]]
    return [
        result(12, disc(SIZES[12], 20, 20, 9), 0.9, bbox=[0, 0, 1, 1], note="kept"),
        polygon,
        result(7, disc(SIZES[7], 50, 30, 12), 0.2),
        result(7, disc(SIZES[7], 9, 50, 0), 0.8),
        result(12, np.zeros(SIZES[12]), 0.6),
        result(7, disc(SIZES[7], 60, 40, 2), 0.95),
    ]


def refined(records: list, images: Path, **options: Any) -> tuple[list, dict[str, int]]:
    found = find_images(images, [7, 12], None)
    return refine_results(Grow(), records, found, progress=False, **options)


def test_order_and_fields_stay(records: list, images: Path) -> None:
    before = json.dumps(records)
    after, counts = refined(records, images)
    assert json.dumps(records) == before
    assert counts == {"refined": 4, "below": 0, "empty": 2}
    for old, new in zip(records, after, strict=True):
        assert list(old) == list(new)
        assert {k: v for k, v in old.items() if k not in ("segmentation", "bbox", "area")} == {
            k: v for k, v in new.items() if k not in ("segmentation", "bbox", "area")
        }
    grown = disc(SIZES[12], 20, 20, 9).astype(np.uint8)
    grown = cv2.dilate(grown, np.ones((5, 5), np.uint8))
    np.testing.assert_array_equal(rle_tools.decode(after[0]["segmentation"]), grown)
    assert after[0]["bbox"] == [9, 9, 23, 23]
    # Of polygons the refined mask is an RLE; area is measured where it was given.
    assert after[1]["area"] == rle_tools.area(after[1]["segmentation"]) == 24 * 24
    # One pixel vanishes, and nothing was nothing: both stay.
    assert after[3] is records[3] and after[4] is records[4]
    json.dumps(after)


def test_limits_pass_through(records: list, images: Path) -> None:
    after, counts = refined(records, images, min_score=0.7, min_area=20)
    assert [new is old for new, old in zip(after, records, strict=True)] == [
        *(False, False, True, True, True, True)
    ]
    assert counts == {"refined": 2, "below": 4, "empty": 0}


def test_bad_masks_and_images_are_named(records: list, images: Path) -> None:
    wrong = [records[0], result(7, np.ones(SIZES[12]), 0.5)]
    with pytest.raises(UsageError, match=r"result 1 \(image id 7\): RLE of size"):
        refined(wrong, images)
    wrong[1]["segmentation"] = [["x", 1, 2, 3, 4, 5]]
    with pytest.raises(UsageError, match="result 1 .* points that are no numbers"):
        refined(wrong, images)
    wrong[1]["segmentation"] = None
    with pytest.raises(UsageError, match="result 1 .* no RLE"):
        refined(wrong, images)


def test_images_are_found(images: Path) -> None:
    listed = [{"id": "x", "file_name": f"{7:012}.png"}, {"id": 3, "file_name": "none.png"}]
    assert find_images(images, ["x"], listed) == {"x": images / f"{7:012}.png"}
    assert find_images(images, [f"{7:012}"], None)
    (images / "other_12.jpg").write_bytes(b"")
    for ids, names, message in (
        ([3], listed, "image id 3 .* its file .*none.png' does not exist"),
        ([5], listed, "image id 5 .* of another set"),
        ([5], None, "image id 5 .* --ann-file is needed"),
        ([12], None, "several files .*0012.png, other_12.jpg.*--ann-file"),
    ):
        with pytest.raises(UsageError, match=message):
            find_images(images, ids, names)
    with pytest.raises(UsageError, match="folder .* not found"):
        find_images(images / "none", [1], None)


def test_files_of_results(records: list, tmp_path: Path) -> None:
    plain, packed = tmp_path / "r.json", tmp_path / "r.zip"
    plain.write_text(json.dumps(records))
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(plain, "detections_val_x_results.json")
    assert read_results(plain) == read_results(packed) == records
    for content, message in (
        (' {"annotations": []}', "one json object, as annotation files do; .* a list is needed"),
        ("[{]", "damaged after object 0"),
        ('[{"image_id": 1, "category_id": 1, "score": 1}]', "result 0 lacks segmentation"),
        (json.dumps([records[0] | {"score": "high"}]), "result 0 has score 'high'"),
    ):
        plain.write_text(content)
        with pytest.raises(UsageError, match=message):
            read_results(plain)
    with pytest.raises(UsageError, match="none.json' not found"):
        read_results(tmp_path / "none.json")


def noisy_set(rng: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth of two classes with a crowd, and detections that are a little off."""
    truth: dict[str, Any] = {
        "images": [{"id": i, "height": 90, "width": 120, "file_name": ""} for i in range(6)],
        "categories": [{"id": 1, "name": "a"}, {"id": 4, "name": "b"}],
        "annotations": [],
    }
    results = []
    for number in range(40):
        image, category = int(rng.integers(6)), int(rng.choice([1, 4]))
        x, y, radius = (int(rng.integers(*v)) for v in ((20, 100), (20, 70), (6, 20)))
        mask = disc((90, 120), x, y, radius)
        own = rle_tools.encode(np.asfortranarray(mask, np.uint8))
        truth["annotations"].append(
            {
                **{"id": number + 1, "image_id": image, "category_id": category, "iscrowd": 0},
                **{"area": float(mask.sum()), "bbox": rle_tools.toBbox(own).tolist()},
                "segmentation": rle(mask),
            }
        )
        dx, dy, dr = (int(v) for v in rng.integers(-2, 3, 3))
        found = disc((90, 120), x + dx, y + dy, max(2, radius + dr))
        results.append({**result(image, found, float(rng.random())), "category_id": category})
    return truth, results


class PlainBoundaryEval(COCOeval):
    """Boundary AP by pycocotools, and Boundary IoU by its formula."""

    def computeIoU(self, imgId: int, catId: int) -> Any:
        ious = super().computeIoU(imgId, catId)
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        found = [found[i] for i in np.argsort([-d["score"] for d in found], kind="mergesort")]
        for i, own in enumerate(found):
            for j, true in enumerate(truth):
                masks = [rle_tools.decode(x["segmentation"]) > 0 for x in (own, true)]
                width = boundary_width(masks[0].shape)
                ious[i][j] = min(ious[i][j], boundary_iou(*masks, width))
        return ious


def test_scores_are_those_of_the_plain_computation() -> None:
    truth, results = noisy_set(np.random.default_rng(3))
    scores = score_results(truth, results, (1, 10, 100))
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    for evaluator, name in ((COCOeval, "AP"), (PlainBoundaryEval, "boundary_AP")):
        reference = evaluator(coco, coco.loadRes(json.loads(json.dumps(results))), "segm")
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
        for key, value in zip(("", "50", "75", "s", "m"), reference.stats, strict=False):
            assert scores[name + key] == pytest.approx(value, abs=1e-9), name + key
    assert scores["boundary_AP"] < scores["AP"] - 0.05
    perfect = [
        with_mask(result(a["image_id"], rle_tools.decode(a["segmentation"]), 0.5), m)
        | {"category_id": a["category_id"]}
        for a in truth["annotations"]
        for m in [rle_tools.decode(a["segmentation"])]
    ]
    best = score_results(truth, perfect, (1, 10, 100))
    assert best["AP"] == best["boundary_AP"] == 1


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refine", REPO / "tools/refine_predictions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tool_refines_and_scores(
    tool: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, weights = write_model(tmp_path / "model")
    truth, results = noisy_set(np.random.default_rng(3))
    for image in truth["images"]:
        image["file_name"] = f"{image['id']}.png"
        Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / image["file_name"])
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    monkeypatch.chdir(tmp_path)
    arguments = f"results.json --images . --out out/new.json --config {config} --weights {weights}"
    more = "--ann-file truth.json --scores scores.json --batch-size 3"
    monkeypatch.setattr("sys.argv", ["refine", *arguments.split(), *more.split()])
    tool.main()
    printed = capsys.readouterr().out
    assert "40 of 40 masks refined" in printed
    # The network gives back what it is given.
    assert json.loads(Path("out/new.json").read_text()) == results
    scores = json.loads(Path("scores.json").read_text())
    assert scores["before"] == scores["after"] and scores["before"]["AP"] > 0.3
    line = next(line for line in printed.splitlines() if line.startswith("boundary_AP "))
    assert line.split()[1:] == [*[f"{100 * scores['before']['boundary_AP']:.2f}"] * 2, "+0.00"]
    monkeypatch.setattr("sys.argv", ["refine", *arguments.split()])
    Path("out/new.json").unlink()
    tool.main()
    assert Path("out/new.json").exists() and "before" not in capsys.readouterr().out.split("\n")[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--out results.json", "--out is the file to be read"),
        ("--batch-size 0", "positive numbers"),
        ("--max-dets 10 1", "positive numbers"),
        ("--ann-file none.json", "none.json' does not exist"),
        ("--images none", "folder 'none' not found"),
    ],
)
def test_tool_says_what_is_wrong(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results.json").write_text(json.dumps(noisy_set(np.random.default_rng(0))[1]))
    arguments = "results.json --config x.py --weights y --images . --out new.json"
    monkeypatch.setattr("sys.argv", ["refine", *arguments.split(), *more.split()])
    with pytest.raises(UsageError, match=message):
        tool.main()
    assert not Path("new.json").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [("", "--scores needs --ann-file"), ("--ann-file bare.json", "bare.json' has no annotations")],
)
def test_scores_without_annotations_end_at_the_start(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, message: str
) -> None:
    truth, results = noisy_set(np.random.default_rng(3))
    truth["annotations"] = []
    (tmp_path / "bare.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    monkeypatch.chdir(tmp_path)
    arguments = "results.json --images . --out new.json --config none.py --scores s.json"
    monkeypatch.setattr("sys.argv", ["refine", *arguments.split(), *more.split()])
    with pytest.raises(UsageError, match=message):
        tool.main()
