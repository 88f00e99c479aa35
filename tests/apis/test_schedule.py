"""Shorter runs: every part of the schedule follows."""

import pytest
from mmengine.config import Config

from attnseg.apis.experiment import UsageError, build_config, shorten_training


def test_iterations_keep_the_shares_of_the_run() -> None:
    cfg = build_config("_base_/schedules/adamw_2e-3_400i")
    shorten_training(cfg, 40)
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (40, 40)
    assert [(item.begin, item.end) for item in cfg.param_scheduler] == [(0, 5), (5, 40)]
    assert cfg.default_hooks.checkpoint.interval == 40
    assert cfg.default_hooks.logger.interval == 40


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_schedulers_stay_valid_in_the_shortest_runs(steps: int) -> None:
    cfg = build_config("_base_/schedules/adamw_2e-3_400i")
    shorten_training(cfg, steps)
    warmup, decay = cfg.param_scheduler
    assert warmup.begin < warmup.end == decay.begin < decay.end
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == steps


def test_epochs() -> None:
    cfg = build_config("_base_/schedules/adamw_5e-4_1000e")
    shorten_training(cfg, 10)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (10, 10)
    assert cfg.default_hooks.checkpoint.interval == 10
    assert cfg.default_hooks.logger.interval == 50
    assert cfg.param_scheduler[0].end == 5


def test_milestones_of_other_schedules_move_along() -> None:
    cfg = build_config("mmdet::solov2/solov2_r50_fpn_1x_coco.py")
    assert cfg.param_scheduler[1].milestones == [8, 11]
    shorten_training(cfg, 6)
    assert cfg.param_scheduler[1].milestones == [4, 6]
    assert cfg.train_cfg.max_epochs == 6


def test_refusals() -> None:
    with pytest.raises(UsageError, match="no train_cfg"):
        shorten_training(Config({}), 3)
    with pytest.raises(UsageError, match="max_iters: expected at least 1, got 0"):
        shorten_training(build_config("_base_/schedules/adamw_2e-3_400i"), 0)
