"""Shorter runs: every part of the schedule follows."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

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


def rates(cfg: Config, steps: int) -> list[float]:
    """Learning rates of all iterations, as mmengine's own schedulers give them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    built = [PARAM_SCHEDULERS.build({**s, "optimizer": optimizer}) for s in cfg.param_scheduler]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in built:
            scheduler.step()
    return found


COSINE = {"type": "CosineAnnealingLR", "T_max": 1150, "eta_min": 0.01, "begin": 50, "end": 1200}
KINDS = {
    "linear-cosine": [{"type": "LinearLR", "start_factor": 0.01, "begin": 0, "end": 50}, COSINE],
    "linear-poly": [
        {"type": "LinearLR", "start_factor": 0.01, "begin": 0, "end": 50},
        {"type": "PolyLR", "power": 0.9, "eta_min": 0.0, "begin": 50, "end": 1200},
    ],
    "constant": [{"type": "ConstantLR", "factor": 0.01, "begin": 0, "end": 50}, COSINE],
    "steps": [{"type": "MultiStepLR", "milestones": [800, 1100], "end": 1200}],
    "step": [{"type": "StepLR", "step_size": 400}],
    "exponential": [{"type": "ExponentialLR", "gamma": 0.998}],
    "restart": [{"type": "CosineRestartLR", "periods": [600, 600], "restart_weights": [1, 0.5]}],
    "one cycle": [{"type": "OneCycleLR", "eta_max": 1.0, "total_steps": 1200}],
    "early cycle": [{"type": "OneCycleLR", "eta_max": 1.0, "end": 1200, "pct_start": 0.25}],
    "three phases": [
        {"type": "OneCycleLR", "eta_max": 1.0, "total_steps": 1200, "three_phase": True}
    ],
}
for schedulers in KINDS.values():
    for item in schedulers:
        item.setdefault("by_epoch", False)
        if item["type"] == "CosineRestartLR":
            item["eta_min"] = 0.01


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 24, 35, 36, 80, 2400])
def test_learning_rates_are_those_of_the_long_run(kind: str, steps: int) -> None:
    cfg = Config({"train_cfg": {"max_iters": 1200}, "param_scheduler": KINDS[kind]})
    shorten_training(cfg, steps)
    found = rates(cfg, steps)
    assert max(found) > (0.45 if kind.endswith(("cycle", "phases")) else 0.99)
    assert min(found) >= 0 and max(found) < 1.01
    if kind in ("linear-cosine", "constant") and steps < 36:
        assert min(found[:-1] or found) > 0.01
    if steps >= 80:
        long = Config({"train_cfg": {"max_iters": 1200}, "param_scheduler": KINDS[kind]})
        full = rates(long, 1200)
        wanted = [full[min(1199, int(i * 1200 / steps))] for i in range(steps)]
        off = [abs(a - b) > 0.15 for a, b in zip(found, wanted, strict=True)]
        assert sum(off) <= 0.05 * steps


def test_a_decay_of_one_step_and_epochs_that_become_iterations_stay() -> None:
    decay = {"type": "LinearLR", "start_factor": 1.0, "end_factor": 0.1, "end": 12}
    warmup = {"type": "LinearLR", "start_factor": 0.1, "end": 12, "convert_to_iter_based": True}
    cfg = Config({"train_cfg": {"max_epochs": 12}, "param_scheduler": [decay, warmup]})
    shorten_training(cfg, 1)
    assert [item.start_factor for item in cfg.param_scheduler] == [1.0, 0.1]
    assert [item.end for item in cfg.param_scheduler] == [1, 1]


def test_refusals() -> None:
    with pytest.raises(UsageError, match="no train_cfg"):
        shorten_training(Config({}), 3)
    with pytest.raises(UsageError, match="max_iters: expected at least 1, got 0"):
        shorten_training(build_config("_base_/schedules/adamw_2e-3_400i"), 0)
