"""Names in files from elsewhere choose nothing outside their folder, to read or to write."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.refine_predictions import find_images
from attnseg.datasets import CocoInstanceDataset, CocoPanopticDataset, SemanticDataset
from attnseg.datasets.converters.panoptic_from_instances import panoptic_from_instances
from attnseg.datasets.converters.revvity import convert_revvity
from attnseg.engine.display import picture_name
from attnseg.evaluation.panoptic_truth import PanopticTruth
from attnseg.evaluation.prediction_writer import PredictionWriter
from attnseg.evaluation.submission.saved import read_predictions
from attnseg.file_names import fault_of_name
from attnseg.leaderboard.records import read_record
from tests.leaderboard.factory import record

HOSTILE = (
    *("../../x.png", "/etc/x.png", "a/../../x.png", "..\\..\\x.png", "\\x.png", "C:\\x.png"),
    *("c:x.png", "http://host/x.png", "file:///etc/x", "a\0.png", "a\nb.png", "..", ".", "a/", " "),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_out_are_told(name: str) -> None:
    assert fault_of_name(name)


@pytest.mark.parametrize("name", ["a.png", "a/b/c.png", "...png", "a..b.png", "é ü.tif", ".a.png"])
def test_plain_names_pass(name: str) -> None:
    assert fault_of_name(name) is None


@pytest.fixture
def changed(demo_set: Path, tmp_path: Path) -> Any:
    """Writes an annotation file of the demo set with another name of its first image or PNG."""

    def write(form: str, key: str, name: str) -> Path:
        content = json.loads((demo_set / f"annotations/{form}_val.json").read_text())
        content[key][0]["file_name"] = name
        path = tmp_path / f"{form}.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("name", HOSTILE[:4] + HOSTILE[7:11])
def test_readers_refuse_them(demo_set: Path, tmp_path: Path, changed: Any, name: str) -> None:
    images, seg = str(demo_set / "images/val"), str(demo_set / "panoptic/val")
    file = changed("instances", "images", name)
    for read in (
        lambda: CocoInstanceDataset(ann_file=str(file), data_prefix={"img": images}),
        lambda: panoptic_from_instances(file, tmp_path / "out/p.json", tmp_path / "out/png"),
        lambda: convert_revvity(demo_set / "images", ann_file=file, out=tmp_path / "out"),
    ):
        with pytest.raises(ValueError, match=r"instances\.json' lists the file .* which"):
            read()
    listed = json.loads(file.read_text())["images"]
    with pytest.raises(UsageError, match="lists the file"):
        find_images(images, [listed[0]["id"]], listed)
    png = changed("panoptic", "annotations", name)
    for read in (
        lambda: CocoPanopticDataset(ann_file=str(png), data_prefix={"img": images, "seg": seg}),
        lambda: PanopticTruth(str(png), seg),
    ):
        with pytest.raises(ValueError, match=r"panoptic\.json' lists the file .* which"):
            read()
    assert not (tmp_path / "out").exists()


def test_lists_of_names_are_checked(demo_set: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("../../secret\n")
    with pytest.raises(ValueError, match=r"list\.txt' lists the file .*secret.* leads out"):
        SemanticDataset(
            ann_file=str(tmp_path / "list.txt"),
            data_prefix={"img_path": str(demo_set / "images/val")},
            metainfo={"classes": ("a", "b", "c")},
            img_suffix=".png",
        )


def test_subfolders_and_links_are_fine(demo_set: Path, tmp_path: Path) -> None:
    content = json.loads((demo_set / "annotations/instances_val.json").read_text())
    for image in content["images"]:
        image["file_name"] = f"a/b/{image['file_name']}"
    (tmp_path / "set/images/a").mkdir(parents=True)
    (tmp_path / "set/images/a/b").symlink_to(demo_set / "images/val")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    (tmp_path / "set/a.json").write_text(json.dumps(content))
    dataset = CocoInstanceDataset(
        data_root=str(tmp_path / "link"), ann_file="a.json", data_prefix={"img": "images"},
        pipeline=[{"type": "attnseg.LoadImage"}],
    )  # fmt: skip
    assert all(dataset[i]["img"].shape == (64, 64, 3) for i in range(len(dataset)))


def test_files_outside_need_the_word_of_the_config(
    demo_set: Path, tmp_path: Path, changed: Any
) -> None:
    shutil.copy(demo_set / "images/val/val_00000.png", tmp_path / "x.png")
    shutil.copytree(demo_set / "images/val", tmp_path / "images")
    file = changed("instances", "images", "../x.png")
    chosen = {"ann_file": str(file), "data_prefix": {"img": str(tmp_path / "images")}}
    with pytest.raises(ValueError, match="outside_files=True"):
        CocoInstanceDataset(**chosen)
    assert len(CocoInstanceDataset(**chosen, outside_files=True)) == 4
    for name in ("http://host/x.png", "a\0.png"):
        with pytest.raises(ValueError, match="lists the file"):
            CocoInstanceDataset(
                **{**chosen, "ann_file": str(changed("instances", "images", name))},
                outside_files=True,
            )


@pytest.mark.parametrize("name", HOSTILE[:6])
def test_what_is_written_by_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    assert Path(picture_name(f"images/{name}")).name == picture_name(f"images/{name}")
    assert "/" not in picture_name(f"images/{name}", 7)
    found = {"sem_seg": np.zeros((4, 4), int)}
    sample = {"img_id": 1, "img_path": name, "ori_shape": (4, 4), "pred_sem_seg": found}
    writer = PredictionWriter(str(tmp_path / "a/preds"))
    writer.dataset_meta = {"classes": ("x",)}
    writer.process(None, [sample])
    writer.evaluate(1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2 and len(read_predictions(tmp_path / "a/preds")) == 1
    assert all(tmp_path / "a/preds" in path.parents for path in files)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b.npz", ".."])
def test_a_record_names_statistics_beside_it_alone(tmp_path: Path, name: str) -> None:
    """Copies of records take their statistics along: these must not be any file."""
    file = tmp_path / "record.json"
    file.write_text(json.dumps({**record("a", {}), "per_image": name}))
    with pytest.raises(ValueError, match="'per_image' is .* beside the record"):
        read_record(file)
