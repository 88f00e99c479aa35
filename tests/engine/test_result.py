"""ResultHook where its files cannot be written."""

import errno
import json
from pathlib import Path

import pytest

from attnseg import _atomic
from tests.engine.recorded import Own, loader, make_runner


def _full(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _log(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*.log"))


def test_a_full_disk_does_not_end_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(tmp_path, hooks=())
    monkeypatch.setattr(_atomic.os, "fsync", _full)
    runner._hooks = [hook for hook in runner.hooks if type(hook).__name__ != "CheckpointHook"]
    runner.train()
    assert runner.epoch == 2 and not list(tmp_path.glob("*.tmp"))
    text = _log(tmp_path)
    for name in ("per_image.npz", "result.json"):
        assert text.count(f"{tmp_path / name} is not written") == 2
        assert not (tmp_path / name).exists()
    assert "No space left" in text
    for run in (runner.val, runner.test):
        with pytest.raises(OSError, match="No space left"):
            run()


def test_settings_without_a_json_form_do_not_end_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Own, "settings", {"limit": object()})
    runner = make_runner(tmp_path, hooks=())
    runner.train()
    assert "per_image.npz is not written" in _log(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["metrics"]["own/third"] == 8 / 3 and result["per_image"] is None
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        runner.test()


def test_evaluations_alone_open_no_training_data(tmp_path: Path) -> None:
    gone = {**loader(6), "dataset": {"type": "NoSuchData"}}
    runner = make_runner(tmp_path, hooks=({"type": "attnseg.PictureHook"},), train_dataloader=gone)
    for mode, run in (("val", runner.val), ("test", runner.test)):
        run()
        result = json.loads((tmp_path / "result.json").read_text())
        assert (result["mode"], result["epoch"], result["iter"]) == (mode, 0, 0)


def test_validations_of_a_training_say_how_far_it_is(tmp_path: Path) -> None:
    make_runner(tmp_path, hooks=()).train()
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["mode"], result["epoch"], result["iter"]) == ("val", 2, 6)
