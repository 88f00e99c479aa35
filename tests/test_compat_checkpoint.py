"""mmengine's CheckpointHook under a kill in the midst of its work."""

from pathlib import Path

import pytest
from mmengine.runner import Runner

from tests.engine.recorded import make_runner


class Killed(BaseException):
    pass


def _hook(**more: object) -> dict:
    return {"checkpoint": {"type": "CheckpointHook", "by_epoch": True, "interval": 1, **more}}


def test_the_only_checkpoint_stays_until_the_next_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(tmp_path, (), default_hooks=_hook(max_keep_ckpts=1))
    original = Runner.save_checkpoint

    def save(self: Runner, folder: str, filename: str, *args: object, **kwargs: object) -> None:
        if filename == "epoch_2.pth":
            raise Killed
        original(self, folder, filename, *args, **kwargs)

    monkeypatch.setattr(Runner, "save_checkpoint", save)
    with pytest.raises(Killed):
        runner.train()
    assert [path.name for path in tmp_path.glob("*.pth")] == ["epoch_1.pth"]


def test_old_checkpoints_go_afterwards(tmp_path: Path) -> None:
    hook = _hook(max_keep_ckpts=1, save_best="own/third", rule="greater")
    make_runner(tmp_path, (), default_hooks=hook).train()
    names = {path.name for path in tmp_path.glob("*.pth")}
    assert names == {"epoch_2.pth", "best_own_third_epoch_1.pth"}
