"""tools/submit.py from the command line: exit status, findings and messages."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from attnseg.apis import submission
from attnseg.apis.command import UsageError
from attnseg.apis.submission import pack_submission, target_of, validate_submission
from attnseg.evaluation.prediction_writer import PredictionWriter
from attnseg.evaluation.submission import coco_instance
from attnseg.evaluation.submission.cityscapes import CATEGORIES
from attnseg.evaluation.submission.png import png_bytes

REPO = Path(__file__).resolve().parents[2]
NAME = "detections_val2017_attnseg_results.zip"


def _run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(REPO / "tools" / "submit.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def _predict(out: Path, samples: list[dict], classes: list[str]) -> str:
    metric = PredictionWriter(str(out))
    metric.dataset_meta = {"classes": classes}
    metric.process(None, samples)
    metric.evaluate(len(samples))
    return str(out)


@pytest.fixture
def instances(tmp_path: Path) -> dict[str, str]:
    """Predictions of two images, and the annotation file."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 4, "width": 6} for i in (1, 2)]
    content = {"images": images, "categories": [{"id": 44, "name": "cell"}]}
    (tmp_path / "info.json").write_text(json.dumps(content))
    samples = [
        {
            "img_id": i,
            "img_path": f"{i}.jpg",
            "pred_instances": {"masks": np.ones((1, 4, 6)), "labels": [0], "scores": [0.5]},
        }
        for i in (1, 2)
    ]
    predictions = _predict(tmp_path / "preds", samples, ["cell"])
    return {"predictions": predictions, "ann_file": str(tmp_path / "info.json")}


@pytest.mark.slow
def test_command_line(instances, tmp_path: Path) -> None:
    out, ann_file = tmp_path / NAME, instances["ann_file"]
    done = _run(
        "pack", "coco-instance", "--predictions", instances["predictions"],
        "--ann-file", ann_file, "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}: valid, 0 kind(s) of warnings\n"
    content = json.loads(Path(ann_file).read_text())
    content["categories"][0]["id"] = 7
    Path(ann_file).write_text(json.dumps(content))
    done = _run("validate", "coco-instance", out, "--ann-file", ann_file)
    assert done.returncode == 1
    assert done.stdout.startswith("error: unknown category id (2x): 44 of detection 0 (image id 1)")
    done = _run("validate", "coco-instance", tmp_path / "no.zip", "--ann-file", ann_file)
    assert done.returncode == 2
    assert done.stderr == f"error: '{tmp_path / 'no.zip'}' does not exist; expected a zip file.\n"


def test_bad_input(instances, tmp_path: Path, monkeypatch) -> None:
    out = str(tmp_path / NAME)
    with pytest.raises(UsageError, match=r"no' has no index\.json.*--save-predictions"):
        pack_submission("coco-instance", str(tmp_path / "no"), out, instances["ann_file"])
    with pytest.raises(UsageError, match=r"no\.json' does not exist"):
        pack_submission("coco-instance", instances["predictions"], out, str(tmp_path / "no.json"))
    with pytest.raises(UsageError, match="coco-panoptic needs --ann-file"):
        pack_submission("coco-panoptic", instances["predictions"], out)
    with pytest.raises(UsageError, match="no panoptic prediction|do not say 'isthing'"):
        panoptic = out.replace("detections", "panoptic")
        pack_submission("coco-panoptic", **instances, out=panoptic)
    (tmp_path / "preds" / "instances" / "2.json").write_text("{")
    with pytest.raises(UsageError, match=r"2\.json' is damaged"):
        pack_submission("coco-instance", **instances, out=out)
    with pytest.raises(UsageError, match="nowhere' has no image"):
        target_of_error("cellseg", str(tmp_path / "nowhere"))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"x\.png' is damaged or no image"):
        target_of_error("cellseg", str(tmp_path / "images"))
    assert not Path(out).exists()


def target_of_error(kind: str, images: str) -> None:
    """What validating against a folder of images says."""
    validate_submission(kind, "x.zip", images=images)


def test_full_disk(instances, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / NAME
    out.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attnseg._atomic.os.fsync", full)
    with pytest.raises(UsageError, match=rf"{NAME}' could not be written \(No space.*unchanged"):
        pack_submission("coco-instance", **instances, out=str(out))
    assert out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == [NAME, "info.json", "preds"]


def test_an_invalid_file_does_not_take_the_place_of_the_old_one(
    instances, tmp_path, monkeypatch
) -> None:
    out = tmp_path / NAME
    out.write_bytes(b"old")
    monkeypatch.setattr(coco_instance, "_records", lambda *args: iter(()))
    with pytest.raises(UsageError, match=r"not valid and was not kept: no detection at all"):
        pack_submission("coco-instance", **instances, out=str(out))
    assert out.read_bytes() == b"old"


def test_microscope_images(tmp_path: Path) -> None:
    pixels = np.zeros((9, 7, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "a.tiff"), pixels)
    cv2.imwrite(str(tmp_path / "b.bmp"), pixels.astype(np.uint8))
    (tmp_path / "c.png").write_bytes(png_bytes(pixels[..., 0]))
    target = target_of("cellseg", images=str(tmp_path))
    assert [(i.name, i.size) for i in target.images] == [
        ("a.tiff", (9, 7)), ("b.bmp", (9, 7)), ("c.png", (9, 7))
    ]  # fmt: skip


def test_classes_of_the_servers(tmp_path: Path) -> None:
    from mmseg.datasets import ADE20KDataset, CityscapesDataset

    from attnseg.datasets.converters.cityscapes import CLASSES

    target = target_of("ade20k")
    names = [category["name"] for category in target.categories]
    assert names == list(ADE20KDataset.METAINFO["classes"])
    assert [category["id"] for category in target.categories] == list(range(1, 151))
    listed = [(c["name"], c["id"], bool(c["isthing"])) for c in CATEGORIES]
    assert listed == list(CLASSES)
    assert [name for name, _, _ in listed] == list(CityscapesDataset.METAINFO["classes"])
    (tmp_path / "classes.txt").write_text("\n".join(f"c{i}" for i in range(150)))
    chosen = target_of("ade20k", class_list=str(tmp_path / "classes.txt"))
    assert chosen.categories[149] == {"id": 150, "name": "c149"}
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match="2 names; ADE20K has 150"):
        target_of("ade20k", class_list=str(tmp_path / "classes.txt"))


def test_every_format_is_documented() -> None:
    text = (REPO / "docs" / "submissions.md").read_text()
    assert all(f"| `{kind}` |" in text for kind in submission.FORMATS)


def test_errors_of_inputs_do_not_blame_the_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory") as caught:
        pack_submission("ade20k", "preds", str(tmp_path / "o.zip"), class_list=str(tmp_path))
    assert "o.zip" not in str(caught.value)
    with pytest.raises(UsageError, match="Is a directory"):
        validate_submission("ade20k", "o.zip", class_list=str(tmp_path))


@pytest.mark.parametrize("kept", [4, 6, 8])
def test_cut_images_are_named(tmp_path: Path, kept: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8))
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:kept])
    with pytest.raises(ValueError, match=r"a\.tif' is damaged or no image"):
        target_of("cellseg", images=str(tmp_path))
