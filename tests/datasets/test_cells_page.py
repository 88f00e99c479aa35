"""The commands of docs/cells.md, as a user types them."""

import json
import re
import runpy
import shlex
import sys

import numpy as np
import pytest
import tifffile
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from . import published_cells
from .published_cells import REPO, load

PAGE = (REPO / "docs/cells.md").read_text()
INFERENCE_LEAF = """
_base_ = [
    "{configs}/iaunet/base_small.py",
    "{configs}/_base_/datasets/livecell_cells.py",
    "{configs}/_base_/schedules/iaunet_adamw_1e-4.py",
]
model = dict(
    backbone=dict(widths=(4, 8, 8, 12)),
    head=dict(
        in_channels=[4, 8, 8, 12], channels=8, num_heads=2, num_queries=7, num_classes=1
    ),
    test_cfg=dict(score_thr=0.0, mask_thr=0.4, rle=True, windows=dict(size=(512, 512))),
)
"""
COMMANDS = re.findall(r"^python (tools/dataset_converters/\S+) (data/\w+)(.*)$", PAGE, re.M)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command))
def test_command_makes_what_the_config_reads(command, tmp_path, monkeypatch, capsys):
    script, root, options = command
    monkeypatch.chdir(tmp_path)
    name = root.removeprefix("data/")
    getattr(published_cells, f"write_{name}")(tmp_path / root)
    if "crop_dense" in script:
        first = f"tools/dataset_converters/{name}.py"
        run(REPO / first, root, "", monkeypatch)
        root = options.split()[0]
    run(REPO / script, *command[1:], monkeypatch)
    assert f"wrote '{root}/annotations/instances_train.json'" in capsys.readouterr().out
    assert len(load(name, "train", root)[0]["data_samples"].gt_instances) <= 3


def run(script, root, options, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(script), root, *shlex.split(options)])
    runpy.run_path(str(script), run_name="__main__")


def test_every_converter_of_cells_is_on_the_page():
    assert {script.rpartition("/")[2] for script, _, _ in COMMANDS} == {
        "livecell.py",
        "evican.py",
        "neurips_cellseg.py",
        "revvity.py",
        "crop_dense.py",
    }


def test_inference_of_the_page_reads_tiff(tmp_path, monkeypatch):
    published_cells.write_livecell(tmp_path / "data/livecell")
    monkeypatch.chdir(tmp_path)
    run(REPO / "tools/dataset_converters/livecell.py", "data/livecell", "", monkeypatch)
    init_default_scope("mmdet")
    leaf = INFERENCE_LEAF.format(configs=(REPO / "configs").as_posix())
    (tmp_path / "mine.py").write_text(leaf)
    model = MODELS.build(Config.fromfile(tmp_path / "mine.py").model)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "iter_16000.pth")
    (tmp_path / "images/val").mkdir(parents=True)
    image = np.random.default_rng(0).integers(300, 4000, (40, 56)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "images/val/a.tif", image)
    (code,) = re.findall(r"```python\n(from .*?)```", PAGE, re.S)
    exec(code, {})
    found = json.loads((tmp_path / "found/preds/a.json").read_text())
    assert len(found["masks"]) == len(found["scores"]) > 0
    assert found["masks"][0]["size"] == [40, 56]
    assert (tmp_path / "found/vis/a.tif.png").is_file()


def test_difficulty_is_chosen_on_the_command_line():
    options = re.search(r"--cfg-options \\\n((?:    .*\n)+)", PAGE)[1].replace("\\\n", " ").split()
    parsed = dict(option.split("=") for option in options)
    cfg = Config.fromfile(REPO / "configs/_base_/datasets/evican_cells.py")
    cfg.merge_from_dict({key: DictAction._parse_iterable(text) for key, text in parsed.items()})
    assert cfg.test_dataloader.dataset.ann_file.endswith("eval_medium.json")
    for evaluator in cfg.test_evaluator:
        assert evaluator.ann_file == cfg.data_root + cfg.test_dataloader.dataset.ann_file
    assert cfg.val_dataloader.dataset.ann_file.endswith("instances_val.json")
