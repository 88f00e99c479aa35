"""Cityscapes, ADE20K and NeurIPS-CellSeg: the packed truth is the truth, each defect is found."""

import io
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from attnseg.evaluation.cell_metric import CellMetric
from attnseg.evaluation.submission.cityscapes import CATEGORIES
from attnseg.evaluation.submission.formats import pack, validate
from attnseg.evaluation.submission.png import png_bytes
from attnseg.evaluation.submission.target import Target, folder_images

ADE20K = [f"class {i}" for i in range(1, 151)]


@pytest.fixture(scope="module")
def semantic(cityscapes, tmp_path_factory) -> tuple[Path, Target]:
    target = Target("val", folder_images(str(cityscapes[1]), "_leftImg8bit.png"), CATEGORIES)
    out = tmp_path_factory.mktemp("out") / "semantic.zip"
    assert not pack("cityscapes-semantic", cityscapes[0], target, out).errors
    return out, target


@pytest.fixture(scope="module")
def instances(cityscapes, semantic, tmp_path_factory) -> tuple[Path, Target]:
    out = tmp_path_factory.mktemp("out") / "instances.zip"
    assert not pack("cityscapes-instance", cityscapes[0], semantic[1], out).errors
    return out, semantic[1]


@pytest.fixture(scope="module")
def ade20k(predict, tmp_path_factory) -> tuple[Path, Target]:
    folder = tmp_path_factory.mktemp("ade")
    rng = np.random.default_rng(0)
    samples = []
    for number in (1, 2):
        labels = rng.integers(0, 150, (6, 5 + number))
        cv2.imwrite(str(folder / f"ADE_test_0000000{number}.jpg"), labels)
        path = f"images/ADE_test_0000000{number}.jpg"
        samples.append({"img_path": path, "pred_sem_seg": {"data": labels}})
    categories = tuple({"id": i, "name": name} for i, name in enumerate(ADE20K, 1))
    target = Target("ADE", folder_images(str(folder)), categories)
    # Labels are in another order than the server's.
    saved = predict(folder / "p", samples, ADE20K[::-1])
    assert not pack("ade20k", saved, target, folder / "ade.zip").errors
    with zipfile.ZipFile(folder / "ade.zip") as file:
        for sample in samples:
            name = Path(sample["img_path"]).with_suffix(".png").name
            data = np.frombuffer(file.read(name), np.uint8)
            expected = 150 - sample["pred_sem_seg"]["data"]
            assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), expected)
    return folder / "ade.zip", target


@pytest.fixture(scope="module")
def cells(data_root: Path | None, predict, tmp_path_factory) -> tuple[Path, Target]:
    folder = tmp_path_factory.mktemp("cells")
    images = folder / "images" if data_root is None else data_root / "dsb2018/images/val"
    if data_root is None:
        images.mkdir()
        for name in "ab":
            cv2.imwrite(str(images / f"{name}.png"), np.zeros((20, 30), np.uint8))
    rng = np.random.default_rng(0)
    samples = []
    found = folder_images(str(images))
    for image in found:
        values = np.full(image.size, 1)
        for number in range(1, int(rng.integers(2, 30))):
            y, x = (int(rng.integers(0, side - 5)) for side in image.size)
            values[y : y + 4, x : x + 5] = 1000 * number
        path = str(images / image.name)
        samples.append({"img_path": path, "pred_panoptic_seg": {"sem_seg": values}})
    saved = predict(folder / "p", samples, ["nucleus", "background"], ["nucleus"])
    target = Target(str(images), found)
    assert not pack("cellseg", saved, target, folder / "cells.zip").errors
    with zipfile.ZipFile(folder / "cells.zip") as file:
        assert sorted(file.namelist()) == sorted(f"{Path(i.name).stem}_label.tiff" for i in found)
        for image, sample in zip(found, samples, strict=True):
            data = file.read(f"{Path(image.name).stem}_label.tiff")
            ids, values = tifffile.imread(io.BytesIO(data)), sample["pred_panoptic_seg"]["sem_seg"]
            assert ids.dtype == np.uint16
            # The same cells in the same order, counted without gaps.
            assert np.array_equal(np.unique(values[values != 1])[ids[ids > 0] - 1], values[ids > 0])
            assert np.array_equal(ids > 0, values != 1)
            assert ids.max() == len(np.unique(ids)) - 1
    return folder / "cells.zip", target


def test_cityscapes_label_ids_are_those_of_the_truth(semantic, cityscapes) -> None:
    truth = sorted(cityscapes[2].rglob("*_gtFine_labelIds.png"))
    with zipfile.ZipFile(semantic[0]) as file:
        assert len(file.namelist()) == len(truth)
        for path in truth:
            name = path.name.replace("_gtFine", "")
            found = np.asarray(Image.open(io.BytesIO(file.read(name))))
            expected = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            valid = np.isin(expected, [c["id"] for c in CATEGORIES])
            assert np.array_equal(found[valid], expected[valid])
            assert not found[~valid].any()


def test_cityscapes_instances_are_those_of_the_truth(instances, cityscapes) -> None:
    with zipfile.ZipFile(instances[0]) as file:
        for path in cityscapes[2].rglob("*_gtFine_instanceIds.png"):
            ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64)
            text = file.read(path.name.replace("_gtFine_instanceIds.png", "_pred.txt")).decode()
            lines = [line.split() for line in text.splitlines()]
            rebuilt = np.zeros_like(ids)
            for number, (mask, label, score) in enumerate(lines):
                pixels = np.asarray(Image.open(io.BytesIO(file.read(mask))))
                assert score == "0.9" and set(np.unique(pixels)) <= {0, 255}
                objects = np.unique(ids[pixels > 0])
                assert len(objects) == 1 and objects[0] // 1000 == int(label), number
                rebuilt[pixels > 0] = objects[0]
            assert np.array_equal(rebuilt, np.where(ids >= 1000, ids, 0))


OFFICIAL = """
import sys
from pathlib import Path
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as pixels
import cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling as objects
truth, semantic, instance, work = map(Path, sys.argv[1:])
pixels.args.predictionPath, pixels.args.JSONOutput = str(semantic), False
paths = sorted(map(str, truth.rglob("*_gtFine_labelIds.png")))
found = [pixels.getPrediction(pixels.args, path) for path in paths]
scores = pixels.evaluateImgLists(found, paths, pixels.args)
assert scores["averageScoreClasses"] == 1.0, scores["averageScoreClasses"]
objects.args.predictionPath, objects.args.JSONOutput = str(instance), False
objects.args.gtInstancesFile = str(work / "gt.json")
paths = sorted(map(str, truth.rglob("*_gtFine_instanceIds.png")))
found = [objects.getPrediction(path, objects.args) for path in paths]
scores = objects.evaluateImgLists(found, paths, objects.args)
assert abs(scores["averages"]["allAp50%"] - 1) < 1e-9, scores["averages"]
"""


@pytest.mark.skipif(
    find_spec("cityscapesscripts") is None, reason="needs cityscapesscripts (optional.txt)"
)
def test_cityscapes_own_evaluation_reads_them(semantic, instances, cityscapes, tmp_path) -> None:
    for name, (path, _) in (("semantic", semantic), ("instance", instances)):
        with zipfile.ZipFile(path) as file:
            file.extractall(tmp_path / name)
    folders = [cityscapes[2], tmp_path / "semantic", tmp_path / "instance", tmp_path]
    # Its modules read the environment when they are imported, and write into the current folder.
    done = subprocess.run(
        [sys.executable, "-c", OFFICIAL, *map(str, folders)],
        capture_output=True,
        text=True,
        env={**os.environ, "CITYSCAPES_DATASET": str(tmp_path)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _grey(value: int, size: Any, kind: type = np.uint8) -> bytes:
    return png_bytes(np.full(size, value, kind))


def _tiff(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels)
    return buffer.getvalue()


def _rgb(size: tuple[int, int]) -> bytes:
    return png_bytes(np.zeros((*size, 3), np.uint8))


COMMON = [
    (lambda size: None, "image without a prediction"),
    (lambda size: b"damaged", "damaged file"),
    (lambda size: _grey(7, size)[:-20], "damaged file"),
]
MAPS = [
    *COMMON,
    (lambda size: _grey(7, (size[0] + 1, size[1])), "image of the wrong size"),
    (lambda size: _grey(200, size), "unknown category"),
    (lambda size: _grey(7, size, np.uint16), "image of the wrong mode"),
    (_rgb, "image of the wrong mode"),
]
CASES = [
    *(("cityscapes-semantic", *case) for case in MAPS),
    ("cityscapes-semantic", lambda size: _grey(1, size), "unknown category: no labelId"),
    *(("ade20k", *case) for case in MAPS),
    *(("cellseg", *case) for case in COMMON),
    ("cellseg", lambda size: _tiff(np.zeros((4, 5), np.uint16)), "image of the wrong size"),
    ("cellseg", lambda size: _tiff(np.zeros(size, np.uint8)), "image that is not one 16- or 32"),
    ("cellseg", lambda size: _tiff(np.zeros(size, np.float32)), "image that is not one 16- or 32"),
    ("cellseg", lambda size: _tiff(np.zeros((2, *size), np.int32)), "image that is not one"),
    ("cellseg", lambda size: _tiff(np.full(size, -1, np.int32)), "negative id"),
    ("cellseg", lambda size: _tiff(np.ones(size, np.uint16))[:-50], "damaged file"),
]


@pytest.mark.parametrize(("kind", "content", "found"), CASES)
def test_defects(kind, content, found, semantic, ade20k, cells, edit_zip, tmp_path) -> None:
    path, target = {"cityscapes-semantic": semantic, "ade20k": ade20k, "cellseg": cells}[kind]
    findings = validate(kind, path, target)
    assert not findings.errors and not findings.warnings
    with zipfile.ZipFile(path) as file:
        name = file.namelist()[0]
    stem = name.removesuffix(".png").removesuffix("_labelIds").removesuffix("_label.tiff")
    size = next(image.size for image in target.images if stem in image.name)
    edit_zip(path, tmp_path / "x.zip", {name: content(size)})
    (error,) = validate(kind, tmp_path / "x.zip", target).errors
    assert error.kind.startswith(found) and stem in error.examples[0]


@pytest.mark.parametrize("kind", ["cityscapes-semantic", "ade20k", "cellseg"])
def test_names_and_surplus_files(kind, semantic, ade20k, cells, edit_zip, tmp_path) -> None:
    path, target = {"cityscapes-semantic": semantic, "ade20k": ade20k, "cellseg": cells}[kind]
    surplus = {
        "cityscapes-semantic": "ulm_000000_000001_x.png",
        "ade20k": "ADE_test_99999999.png",
        "cellseg": "other_label.tiff",
    }[kind]
    added = {surplus: b"", "notes.txt": b"", "../up.png": b"", "/etc/x.png": b"", "c:\\x.png": b""}
    edit_zip(path, tmp_path / "x.zip", added)
    errors = {e.kind: e.examples for e in validate(kind, tmp_path / "x.zip", target).errors}
    assert errors == {
        "member that would be unpacked outside its folder": [*added][2:],
        "surplus file, of no image of the test set": [surplus],
        "file whose name is not as the server asks": ["notes.txt"],
    }
    # Without a list of images the rest is checked all the same.
    known = Target("format", None, target.categories)
    kinds = [e.kind for e in validate(kind, tmp_path / "x.zip", known).errors]
    assert "file whose name is not as the server asks" in kinds
    edit_zip(path, tmp_path / "z.zip", {".": b""})
    with zipfile.ZipFile(tmp_path / "z.zip", "a") as file:
        file.writestr(zipfile.ZipInfo(""), b"")
    (error,) = validate(kind, tmp_path / "z.zip", target).errors
    assert (error.kind, error.examples) == ("member without a file name", ["'.'", "''"])
    edit_zip(path, tmp_path / "y.zip", dict.fromkeys(zipfile.ZipFile(path).namelist()))
    kinds = [e.kind for e in validate(kind, tmp_path / "y.zip", known).errors]
    assert kinds == ["no prediction at all"]


def test_two_files_of_one_frame(semantic, edit_zip, tmp_path: Path) -> None:
    with zipfile.ZipFile(semantic[0]) as file:
        name = file.namelist()[0]
    edit_zip(semantic[0], tmp_path / "x.zip", {f"copy/{name}": b""})
    (error,) = validate("cityscapes-semantic", tmp_path / "x.zip", semantic[1]).errors
    assert error.kind == "two files of one image"


def test_defects_of_cityscapes_instances(instances, edit_zip, tmp_path: Path) -> None:
    with zipfile.ZipFile(instances[0]) as file:
        text = next(n for n in file.namelist() if n.endswith(".txt") and file.read(n))
        mask, label, _ = file.read(text).decode().splitlines()[0].split()
        size = np.asarray(Image.open(io.BytesIO(file.read(mask)))).shape

    def line(*parts: object) -> dict[str, Any]:
        new = " ".join(map(str, parts)).encode()
        return {text: lambda data: b"\n".join([new, *data.splitlines()[1:]])}

    stripes = np.tile(np.arange(size[1], dtype=np.uint8), (size[0], 1))
    cases = [
        (line(mask, label, "nan"), "score that is no number"),
        (line(mask, label, "inf"), "score that is no number"),
        (line(mask, 7, 0.5), "unknown category: no labelId with instances"),
        (line(mask, "26.5", 0.5), "unknown category: no labelId with instances"),
        (line(mask, label), "line that is not 'mask labelId score'"),
        (line(mask, "car", 0.5), "line that is not 'mask labelId score'"),
        (line("../" + mask, label, 0.5), "mask outside the zip file"),
        (line("/" + mask, label, 0.5), "mask outside the zip file"),
        (line("masks/no.png", label, 0.5), "missing file"),
        (line("masks/no.png", label, 0.5), "surplus file, which no text file names"),
        ({text: lambda data: data.rstrip() + b"\n" + data}, "mask that is named twice"),
        ({text: None}, "image without a prediction"),
        ({text: b"\xff\xfe"}, "damaged file"),
        ({mask: _grey(255, (size[0] + 1, size[1]))}, "image of the wrong size (height x width)"),
        ({mask: _rgb(size)}, "image of the wrong mode (L or 1 is asked for)"),
        ({mask: png_bytes(stripes)}, "mask that is not binary"),
        ({mask: lambda data: data[:-20]}, "damaged file"),
    ]
    for changes, kind in cases:
        edit_zip(instances[0], tmp_path / "x.zip", changes)
        errors = validate("cityscapes-instance", tmp_path / "x.zip", instances[1]).errors
        assert kind in [error.kind for error in errors], (kind, list(map(str, errors)))
    edit_zip(instances[0], tmp_path / "x.zip", line(mask, label, 1.1))
    findings = validate("cityscapes-instance", tmp_path / "x.zip", instances[1])
    assert not findings.errors
    assert "score outside 0 to 1" in findings.warnings[0].kind
    edit_zip(instances[0], tmp_path / "x.zip", {mask: _grey(0, size)})
    findings = validate("cityscapes-instance", tmp_path / "x.zip", instances[1])
    assert not findings.errors and findings.warnings[0].kind == "empty mask"


def test_overlapping_cells_and_their_scores(predict, tmp_path: Path) -> None:
    masks = np.zeros((4, 3, 6), bool)
    masks[0, :, :3] = masks[1, :, 2:5] = masks[2, 1:2, 1:2] = masks[3, :, 5] = True
    instances = {"masks": masks, "labels": [0] * 4, "scores": [0.9, 0.8, 0.95, 0.2]}
    sample = {"img_path": "x.tif", "pred_instances": instances}
    saved = predict(tmp_path / "p", [sample], ["cell"])
    for min_score, last in ((0.5, 0), (0.1, 4)):
        out = tmp_path / "c.zip"
        pack("cellseg", saved, Target("saved", None), out, min_score=min_score)
        with zipfile.ZipFile(out) as file:
            ids = tifffile.imread(io.BytesIO(file.read("x_label.tiff")))
        rows = [[1, 1, 1, 2, 2, last], [1, 3, 1, 2, 2, last], [1, 1, 1, 2, 2, last]]
        assert ids.tolist() == rows


@pytest.mark.parametrize("things", [None, ["cell"]])
def test_packed_cells_are_those_that_the_metric_measures(things, predict, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    masks = np.zeros((40, 50, 70), bool)
    for mask in masks:
        y, x = rng.integers(0, 40), rng.integers(0, 60)
        mask[y : y + 12, x : x + 12] = True
    # Ties, and a float32 score that is a little below 0.7 as a float64.
    scores = torch.from_numpy(rng.choice([0.3, 0.7, 0.8], 40).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 2, 40))
    sample = {
        "img_path": "x.tif",
        "ori_shape": (50, 70),
        "pred_instances": {"masks": torch.from_numpy(masks), "labels": labels, "scores": scores},
        # Other cells: instances come first.
        "pred_panoptic_seg": {"sem_seg": torch.full((50, 70), 5000)},
    }
    saved = predict(tmp_path / "p", [sample], ["cell", "dirt"], things)
    pack("cellseg", saved, Target("saved", None), tmp_path / "c.zip", min_score=0.7)
    with zipfile.ZipFile(tmp_path / "c.zip") as file:
        ids = tifffile.imread(io.BytesIO(file.read("x_label.tiff")))
    packed = np.stack([ids == value for value in range(1, ids.max() + 1)])
    sample["gt_instances"] = {"masks": packed, "labels": np.zeros(len(packed), int)}
    metric = CellMetric(score_thr=0.7, iou_thresholds=[1.0])
    metric.dataset_meta = {"classes": ("cell", "dirt"), "thing_classes": things}
    metric.process(None, [sample])
    values = metric.evaluate(1)
    assert len(packed) > 5
    assert values["cell/AJI"] == values["cell/F1"] == 1.0


def test_predictions_that_do_not_fit(cityscapes, semantic, ade20k, predict, tmp_path) -> None:
    out = tmp_path / "x.zip"
    with pytest.raises(ValueError, match="19 class.*no categories of format: 'road'.*and 9 more"):
        pack("ade20k", cityscapes[0], Target("format", None, ade20k[1].categories), out)
    sample = {"img_path": "x.png", "pred_sem_seg": {"data": np.zeros((2, 3), int)}}
    saved = predict(tmp_path / "p", [sample], ["road"])
    with pytest.raises(ValueError, match="'x.png' is not named <city>_<6 digits>"):
        pack("cityscapes-semantic", saved, Target("format", None, CATEGORIES), out)
    with pytest.raises(ValueError, match="'x.png' is not named ADE_test"):
        categories = ({"id": 1, "name": "road"},)
        pack("ade20k", saved, Target("format", None, categories), out)
    with pytest.raises(ValueError, match="no instances prediction, only semantic"):
        pack("cellseg", saved, Target("format", None), out)
    same = [{**sample, "img_path": f"{folder}/x.png"} for folder in "ab"]
    saved = predict(tmp_path / "q", same, ["cell"])
    with pytest.raises(ValueError, match="'x.png' and 'x.png' would both be 'x'"):
        pack("cellseg", saved, Target("format", None), out)
    assert not out.exists()
