"""Options reach the run, or are refused."""

import pytest
from mmengine.config import Config

from attnseg.apis.experiment import UsageError, build_config, replace_data_root

LEAF = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128.py"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("lr", r"read while the config is computed.*Set optim_wrapper\.optimizer\.lr\."),
        ("weight_decay", r"Set optim_wrapper\.optimizer\.weight_decay"),
        ("max_iters", "Use --max-iters"),
        ("seed", "Use --seed"),
        ("batch_size", r"Set train_dataloader\.batch_size"),
        ("image_size", r"pipeline\.3\.size and val_dataloader\.dataset\.pipeline\.1\.scale"),
        ("train_pipeline.3.size", r"Set train_dataloader\.dataset\.pipeline\.3\.size\."),
        ("temperature", "'temperature'.*would change nothing"),
        ("meta_key", "no field of a run"),
        ("optim_wraper.optimizer.lr", "not in the config.*Did you mean optim_wrapper"),
    ],
)
def test_options_that_change_nothing_are_refused(option: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_config(LEAF, cfg_options={option: 1})


def test_options_that_a_run_reads_are_taken() -> None:
    options = {
        "optim_wrapper.optimizer.lr": 0.5,
        "log_level": "ERROR",
        "experiment_name": "x",
        "auto_scale_lr.enable": True,
        "train_dataloader.dataset.pipeline.3.size": (64, 32),
    }
    cfg = build_config(LEAF, cfg_options=options)
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    # mmengine's own would forget accumulated steps.
    assert not cfg.auto_scale_lr.enable
    assert cfg.custom_hooks[-1].type == "attnseg.ScaledRateHook"
    assert cfg.train_dataloader.dataset.pipeline[3].size == (64, 32)


def test_length_flags_fit_the_unit_of_the_config() -> None:
    assert build_config(LEAF, max_iters=8).param_scheduler[-1].end == 8
    with pytest.raises(UsageError, match=r"--max-epochs: .*use --max-iters"):
        build_config(LEAF, max_epochs=8)


def test_data_root_is_replaced_in_datasets_and_evaluators_only() -> None:
    inner = {"data_root": "data/x/", "ann_file": "data/x/a.json", "other": "data/xy/b"}
    cfg = Config(
        {
            "data_root": "data/x/",
            "train_dataloader": {"dataset": {"datasets": [inner, {"data_root": "data/x"}]}},
            "val_evaluator": [{"ann_file": "data/x/ann/v.json", "keep": 3}],
            "model": {"weights": "data/x/w.pth"},
        }
    )
    replace_data_root(cfg, "/new/place/")
    first, second = cfg.train_dataloader.dataset.datasets
    assert first == {
        "data_root": "/new/place/",
        "ann_file": "/new/place/a.json",
        "other": "data/xy/b",
    }
    assert second.data_root == "/new/place" and cfg.data_root == "/new/place/"
    assert cfg.val_evaluator[0] == {"ann_file": "/new/place/ann/v.json", "keep": 3}
    assert cfg.model.weights == "data/x/w.pth"


def test_data_root_of_a_leaf_that_its_base_did_not_see() -> None:
    cfg = Config(
        {
            "data_root": "data/mine/",
            "train_dataloader": {"dataset": {"data_root": "data/base/"}},
            "val_evaluator": {"ann_file": "data/base/v.json", "other": "data/mine/w.json"},
        }
    )
    replace_data_root(cfg, "new")
    assert cfg.train_dataloader.dataset.data_root == "new/" and cfg.data_root == "new/"
    assert cfg.val_evaluator == {"ann_file": "new/v.json", "other": "new/w.json"}


def test_data_root_without_one_at_the_top() -> None:
    cfg = Config({"train_dataloader": {"dataset": {"data_root": "data/base"}}})
    replace_data_root(cfg, "new")
    assert cfg.train_dataloader.dataset.data_root == "new" and "data_root" not in cfg


def test_data_that_cannot_be_replaced_is_refused() -> None:
    for cfg in (Config({}), Config({"data_root": "data/x", "train_dataloader": {"dataset": {}}})):
        with pytest.raises(UsageError, match="no dataset.*has a data_root"):
            replace_data_root(cfg, "x")
    several = {
        "train_dataloader": {"dataset": {"data_root": "data/a"}},
        "val_dataloader": {"dataset": {"data_root": "data/b"}},
    }
    with pytest.raises(UsageError, match="lie in data/a, data/b"):
        replace_data_root(Config(several), "x")
    cfg = Config({**several, "data_root": "data/b"})
    replace_data_root(cfg, "x")
    assert cfg.train_dataloader.dataset.data_root == "data/a"
    assert cfg.val_dataloader.dataset.data_root == "x"
