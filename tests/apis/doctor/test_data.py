"""The doctor of data on the demo set: nothing on the untouched one, each planted fault named."""

import copy
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from mmengine.config import Config

from attnseg.apis.command import UsageError
from attnseg.apis.doctor.catalogue import CHECKS, FAULT, NOTE, WARNING
from attnseg.apis.doctor.data import check_data, run_data
from attnseg.apis.doctor.sheet import draw_sheet
from attnseg.apis.experiment import build_config, find_config
from attnseg.apis.options import replace_data_root
from tests.apis.doctor.plants import Plant, plants

MODELS = {
    "instance": {"head": {"num_classes": 3}},
    "panoptic": {"head": {"num_things": 3, "num_stuff": 2}},
    "semantic": {"decode_head": {"num_classes": 5}},
    "refinement": {},
}
PLANTS = plants()


@cache
def _base(task: str) -> Config:
    return Config.fromfile(find_config(f"_base_/datasets/demo_{task}.py"))


def config(task: str, root: Path) -> Config:
    cfg = copy.deepcopy(_base(task))
    cfg.model = copy.deepcopy(MODELS[task])
    cfg.default_scope = "mmseg" if task == "semantic" else "mmdet"
    replace_data_root(cfg, str(root))
    return cfg


@pytest.fixture
def root(demo_set: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_set, tmp_path / "set"))


@pytest.mark.parametrize("task", MODELS)
def test_untouched_set_gives_nothing(task: str, demo_set: Path) -> None:
    report = check_data(config(task, demo_set))
    assert [finding.as_json() for finding in report.findings] == []
    assert sum(len(contents.entries) for contents in report.contents) >= 12
    assert all(sum(contents.histogram.values()) > 0 for contents in report.contents)


@pytest.mark.parametrize("plant", PLANTS, ids=[f"{p.task}-{p.code}" for p in PLANTS])
def test_planted_fault_is_found_and_named(plant: Plant, root: Path) -> None:
    cfg = config(plant.task, root)
    plant.act(root, cfg)
    found = {finding.code: finding for finding in check_data(cfg).findings}
    assert plant.code in found
    assert plant.text in found[plant.code].examples[0]
    assert found[plant.code].count >= 1
    assert set(found) - {plant.code} <= set(plant.also)


def test_plants_cover_the_catalogue() -> None:
    planted = {code for plant in PLANTS for code in (plant.code, *plant.also)}
    assert set(CHECKS) - planted == set()
    assert all(check.fix for check in CHECKS.values() if check.severity in (FAULT, WARNING))


def test_deep_channels_of_cells_are_no_fault(root: Path) -> None:
    for path in sorted((root / "images").glob("*/*.png")):
        pixels = cv2.imread(str(path))[..., :2].astype(np.uint16) * 300
        tifffile.imwrite(path, np.moveaxis(pixels, 2, 0), photometric="minisblack")
    cfg = config("instance", root)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.pipeline[0] = {"type": "attnseg.LoadImage", "channels": 2}
    report = check_data(cfg, samples=2)
    assert {(f.code, f.severity) for f in report.findings} == {("depth-stretched", NOTE)}
    assert draw_sheet(report.samples, root / "sheet.png").stat().st_size > 10_000


def test_files_elsewhere_are_no_fault_where_the_config_allows_them(root: Path) -> None:
    path = root / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = f"../../images/train/{image['file_name']}"
    path.write_text(json.dumps(content))
    cfg = config("instance", root)
    refused = len(content["images"])
    assert [f.count for f in check_data(cfg).findings if f.code == "name-escapes"] == [refused]
    cfg.train_dataloader.dataset.outside_files = True
    assert list(check_data(cfg).findings) == []


def test_plain_data_sets_of_mmdet_and_mmseg(root: Path) -> None:
    cfg = config("instance", root)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.update(
            type="CocoDataset", metainfo={"classes": ("disk", "star", "ring")}
        )
    assert list(check_data(cfg).findings) == []
    path = root / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    # Ours measure a missing area; mmdet's class fails at it.
    del content["annotations"][0]["area"]
    path.write_text(json.dumps(content))
    assert [f.code for f in check_data(config("instance", root)).findings] == []
    assert [f.examples for f in check_data(cfg).findings] == [["annotation 1 lacks area"]]

    cfg = config("semantic", root)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.update(
            type="BaseSegDataset", metainfo={"classes": ("a", "b", "c", "d", "e")}
        )
    assert list(check_data(cfg).findings) == []


def test_classes_that_find_images_themselves_are_checked_in_part(root: Path) -> None:
    cfg = config("instance", root)
    cfg.train_dataloader.dataset.type = "LVISV1Dataset"
    cfg.train_dataloader.dataset.metainfo = {"classes": ("disk", "star", "ring")}
    found = {f.code: f.examples for f in check_data(cfg).findings}
    assert "its own way" in found["unchecked"][0]


def test_names_below_the_data_folder_itself(root: Path) -> None:
    cfg = config("instance", root)
    for split in ("train", "val"):
        path = root / f"annotations/instances_{split}.json"
        content = json.loads(path.read_text())
        for image in content["images"]:
            image["file_name"] = f"images/{split}/{image['file_name']}"
        path.write_text(json.dumps(content))
        cfg[f"{split}_dataloader"].dataset.data_prefix = {"img": ""}
    cfg.test_dataloader = None
    (found,) = check_data(cfg).findings
    # Label maps lie there too.
    assert (found.code, found.count) == ("file-unnamed", 24)


def test_wrapped_and_joined_sets(root: Path) -> None:
    cfg = config("instance", root)
    train, val = cfg.train_dataloader.dataset, copy.deepcopy(cfg.val_dataloader.dataset)
    joined = {"type": "ConcatDataset", "datasets": [train, val]}
    cfg.train_dataloader.dataset = {"type": "RepeatDataset", "times": 2, "dataset": joined}
    report = check_data(cfg)
    names = [contents.source.name for contents in report.contents]
    assert names == ["train 1", "train 2, val, test"]
    assert {f.code: f.count for f in report.findings} == {"split-copy": 4}


def test_findings_keep_the_first_examples_and_count_all(root: Path) -> None:
    for path in (root / "images").glob("*/*.png"):
        path.unlink()
    found = {f.where: f for f in check_data(config("instance", root)).findings}
    assert found["train"].count == 8 and len(found["train"].examples) == 8
    assert found["val, test"].as_json()["severity"] == FAULT
    lines = list(found["train"].lines())
    assert lines[0].endswith("image file does not exist (8)") and lines[1].endswith("; ...")


def run(root: Path, **options: Any) -> int:
    return run_data(
        "maskattn-unet_small_1xb8-400i_demo-panoptic-128x128", data=str(root), **options
    )


def test_report_and_sheet(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, sheet = root / "report.json", root / "sheet.png"
    assert run(root, json=str(report), sheet=str(sheet), samples=3) == 0
    content = json.loads(report.read_text())
    assert content["counts"] == {"fault": 0, "warning": 0, "note": 0}
    assert [part["images"] for part in content["sets"]] == [8, 4, 4]
    assert content["sets"][0]["histogram"]["grass"] > 0
    first = sheet.read_bytes()
    assert cv2.imread(str(sheet)).std() > 20
    run(root, sheet=str(sheet), samples=3, images=False)
    assert sheet.read_bytes() == first
    run(root, sheet=str(sheet), samples=3, seed=1, images=False)
    assert sheet.read_bytes() != first
    assert capsys.readouterr().out.count("sheet: ") == 3


def test_exit_status_and_options(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = root / "images/train/train_00000.png"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    assert run(root, images=False) == 0
    assert run(root) == 1
    assert run(root / "nowhere") == 1
    assert "--data DIR" in capsys.readouterr().out
    for options in ({"samples": 0}, {"sheet": "sheet.jpg"}):
        with pytest.raises(UsageError):
            run(root, **options)


@pytest.mark.slow
def test_real_sets_give_no_false_alarm(data_root: Path | None) -> None:
    if data_root is None:
        pytest.skip("no real images: set ATTNSEG_DATA")
    name = "iaunet_small_1xb4-1200i_usiigaci-instance-128x128"
    cells = check_data(build_config(name, data=data_root / "usiigaci"))
    assert list(cells.findings) == []
    name = "maskattn-unet_small_1xb8-400i_coco-mini-instance-128x128"
    photos = check_data(build_config(name, data=data_root / "coco_mini"), images=False)
    assert list(photos.findings) == []
    assert [contents.crowds for contents in photos.contents] == [18, 20]


@pytest.mark.slow
def test_frames_of_one_video_are_near_copies(data_root: Path | None, tmp_path: Path) -> None:
    if data_root is None:
        pytest.skip("no real images: set ATTNSEG_DATA")
    name = "maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128"
    cfg = build_config(name, data=data_root / "camvid11")
    for split, frames in (("train", "0016E5_07*.jpg"), ("val", "0016E5_080*.jpg")):
        chosen = sorted((data_root / "camvid11/images" / split).glob(frames))
        (tmp_path / split).write_text("\n".join(path.stem for path in chosen))
        cfg[f"{split}_dataloader"].dataset.ann_file = str(tmp_path / split)
    cfg.test_dataloader = cfg.val_dataloader
    found = {f.code: f for f in check_data(cfg).findings}
    assert found["split-near"].severity == WARNING and found["split-near"].count > 20
    assert "class-count" not in found
