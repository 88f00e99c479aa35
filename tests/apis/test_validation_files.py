"""tools/test.py where the training files are not: a machine that has the validation files alone."""

import json
import shutil
from pathlib import Path

import torch
from mmengine.registry import MODELS, init_default_scope

from attnseg.apis.experiment import build_config, run_test

CONFIG = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"
SMALL = {
    "test_dataloader.num_workers": 0,
    "test_dataloader.persistent_workers": False,
    "test_dataloader.dataset.pipeline.1.scale": (64, 64),
}


def test_a_test_reads_no_training_files_and_leaves_its_record(
    demo_set: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(demo_set, alone, ignore=shutil.ignore_patterns("*train*"))
    assert not list(alone.rglob("*train*")) and list(alone.rglob("*val*"))
    options = {**SMALL, "visualizer.name": str(tmp_path)}
    arguments = {"data": alone, "work_dir": tmp_path / "run", "cfg_options": options}
    cfg = build_config(CONFIG, **arguments)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / "w.pth")
    values = run_test(build_config(CONFIG, checkpoint=tmp_path / "w.pth", **arguments))
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["mode"], result["epoch"], result["iter"]) == ("test", 0, 0)
    assert result["metrics"].keys() == values.keys()
    (record,) = (tmp_path / "run").glob("*/record.json")
    data = json.loads(record.read_text())["data"]
    assert (data["split"], data["images"]) == ("val", 4) and data["hash"]
