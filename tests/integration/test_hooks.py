"""Training with mmengine's EMA and checkpoint hooks, and resuming from what they leave."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner


def train(cfg: Config, iterations: int, folder: Path, resume: bool = False) -> Runner:
    cfg = cfg.copy()
    cfg.work_dir = str(folder)
    cfg.resume = resume
    cfg.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": iterations, "val_interval": 100}
    cfg.param_scheduler = [{"type": "ConstantLR", "factor": 1.0, "by_epoch": False}]
    cfg.custom_hooks = [*cfg.custom_hooks, {"type": "EMAHook", "momentum": 0.1}]
    cfg.default_hooks.checkpoint = {"type": "CheckpointHook", "by_epoch": False, "interval": 2}
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize("task", ["panoptic", "semantic"])
def test_resume_from_checkpoint_with_averaged_weights(
    task: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cfg = request.getfixturevalue(f"{task}_cfg")
    first = train(cfg, 2, tmp_path / "run")
    saved = torch.load(tmp_path / "run" / "iter_2.pth", weights_only=False)
    ema = next(h for h in first.hooks if isinstance(h, EMAHook))
    name = "backbone.encoder.1.attn.query.weight"
    # The hook swaps on saving: the averaged weights are what a test loads.
    averaged = ema.ema_model.state_dict()[f"module.{name}"]
    assert torch.equal(saved["state_dict"][name], averaged)
    assert not torch.equal(first.model.state_dict()[name], averaged)

    second = train(cfg, 4, tmp_path / "run", resume=True)
    assert second.iter == 4
    assert (tmp_path / "run" / "iter_4.pth").is_file()
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith("iter_4.pth")
