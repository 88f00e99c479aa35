"""The doctor of data on the demo set: nothing on the untouched one, each planted fault named."""

import copy
import shutil
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from attnseg.apis.doctor.catalogue import CHECKS, FAULT, WARNING
from attnseg.apis.doctor.data import check_data
from attnseg.apis.experiment import find_config
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
