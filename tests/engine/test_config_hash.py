"""The hash of a config: what changes it, and what must not."""

import copy
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from torch import nn

from attnseg.apis.experiment import _leave_records, build_config
from attnseg.engine.config_hash import config_hash, plain_config

LEAF = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"


@pytest.fixture
def cfg() -> Config:
    return build_config(LEAF)


def test_surroundings_do_not_change_it(cfg: Config, tmp_path: Path) -> None:
    expected = config_hash(cfg)
    weights = tmp_path / "weights.pth"
    weights.touch()
    moved = build_config(
        LEAF,
        seed=5,
        work_dir=tmp_path,
        data=tmp_path / "elsewhere",
        checkpoint=weights,
        save_predictions=tmp_path / "predictions",
        cfg_options={
            "log_level": "ERROR",
            "env_cfg.cudnn_benchmark": True,
            "train_dataloader.num_workers": 7,
            "train_cfg.val_interval": 17,
            "test_dataloader.batch_size": 4,
            "default_hooks.checkpoint.interval": 17,
            "experiment_name": "other",
            "visualizer.name": "other",
        },
    )
    moved.custom_hooks = [*moved.custom_hooks, {"type": "attnseg.ProgressHook"}]
    moved.seed = 5
    assert config_hash(moved) == expected
    _leave_records(moved)
    assert config_hash(moved) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optim_wrapper.optimizer.lr", 1e-5),
        ("train_cfg.max_iters", 7),
        ("train_dataloader.batch_size", 3),
        ("train_dataloader.dataset.pipeline.3.size", (64, 64)),
        ("val_dataloader.dataset.ann_file", "annotations/other.json"),
        ("model.backbone.preset", "paper"),
    ],
)
def test_what_defines_the_experiment_changes_it(cfg: Config, key: str, value: object) -> None:
    changed = copy.deepcopy(cfg)
    changed.merge_from_dict({key: value})
    assert config_hash(changed) != config_hash(cfg)


@pytest.mark.parametrize(
    "evaluator",
    [
        {"type": "attnseg.PanopticMetric", "classwise": True},
        {"metrics": [{"type": "attnseg.PanopticMetric"}]},
        [{"type": "CocoMetric", "outfile_prefix": "runs/x"}, {"type": "attnseg.PredictionWriter"}],
        None,
    ],
)
def test_how_a_run_is_looked_at_does_not_change_it(cfg: Config, evaluator: object) -> None:
    expected = config_hash(cfg)
    cfg.val_evaluator = cfg.test_evaluator = evaluator
    assert config_hash(cfg) == expected


def test_a_hook_that_acts_changes_it_and_one_that_watches_does_not(cfg: Config) -> None:
    expected = config_hash(cfg)
    cfg.custom_hooks.append({"type": "mmdet.DetVisualizationHook", "draw": True})
    cfg.custom_hooks.append({"type": "attnseg.PictureHook", "test_out_dir": "x"})
    assert config_hash(cfg) == expected
    cfg.custom_hooks.append({"type": "EMAHook"})
    assert config_hash(cfg) != expected


def test_another_process_finds_the_same(cfg: Config) -> None:
    code = (
        "from attnseg.apis.experiment import build_config\n"
        "from attnseg.engine.config_hash import config_hash\n"
        f"print(config_hash(build_config({LEAF!r})))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert other.stdout.split()[-1] == config_hash(cfg)


def test_values_of_any_type_are_hashed_by_name_not_by_address() -> None:
    def make() -> dict:
        return {
            "data_root": "data/x/",
            "model": {"act": nn.ReLU, "scale": (1, 2.5), "set": {"b", "a"}, "extra": object()},
            "train_dataloader": {
                "dataset": {"datasets": [{"data_root": "/y", "ann": "/y/a.json"}]}
            },
            "val_dataloader": {"ann_file": Path("data/x/v.json"), "other": "/abs/o.json"},
            "test_dataloader": {"ann_file": "runs/x/t.json"},
        }

    assert config_hash(make()) == config_hash(make())
    assert plain_config(make()) == {
        "model": {
            "act": "torch.nn.modules.activation.ReLU",
            "scale": [1, 2.5],
            "set": ["a", "b"],
            "extra": "builtins.object",
        },
        "train_dataloader": {"dataset": {"datasets": [{"ann": "a.json"}]}},
        "val_dataloader": {"ann_file": "v.json", "other": "o.json"},
        "test_dataloader": {"ann_file": "runs/x/t.json"},
    }
    # Whatever Python writes it, the text is this one.
    text = (
        '{"model":{"act":"torch.nn.modules.activation.ReLU","extra":"builtins.object",'
        '"scale":[1,2.5],"set":["a","b"]},"test_dataloader":{"ann_file":"runs/x/t.json"},'
        '"train_dataloader":{"dataset":{"datasets":[{"ann":"a.json"}]}},'
        '"val_dataloader":{"ann_file":"v.json","other":"o.json"}}'
    )
    assert config_hash(make()) == hashlib.sha256(text.encode()).hexdigest()
