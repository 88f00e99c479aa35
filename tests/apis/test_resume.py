"""Where a training goes on."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import save_checkpoint

from attnseg.apis.resume import choose_checkpoint, is_complete
from attnseg.errors import InputError


def runner(folder: Path, resume: object, load_from: str | None = None) -> SimpleNamespace:
    cfg = Config({"resume": resume, "load_from": load_from})
    return SimpleNamespace(
        cfg=cfg,
        rank=0,
        work_dir=str(folder),
        logger=logging.getLogger("resume"),
        _resume=resume,
        _load_from=load_from,
    )


def test_with_nothing_there_it_starts_as_without(tmp_path: Path) -> None:
    found = runner(tmp_path / "none", "auto", "weights.pth")
    choose_checkpoint(found)
    assert (found._resume, found._load_from) == (False, "weights.pth")
    assert (found.cfg.resume, found.cfg.load_from) == (False, "weights.pth")


def test_the_newest_whole_one_is_taken_and_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (3, 7):
        save_checkpoint({"meta": {"iter": step}}, str(tmp_path / f"iter_{step}.pth"))
    (tmp_path / "iter_7.pth").write_bytes(b"")
    found = runner(tmp_path, "auto", "weights.pth")
    choose_checkpoint(found)
    expected = str(tmp_path / "iter_3.pth")
    assert found._resume is True and found._load_from == found.cfg.load_from == expected
    assert "iter_7.pth is empty: passed over" in caplog.text


def test_a_named_file_and_no_resume_stay_as_they_are(tmp_path: Path) -> None:
    for resume, file in ((True, "x.pth"), (False, None)):
        found = runner(tmp_path, resume, file)
        choose_checkpoint(found)
        assert (found._resume, found._load_from) == (resume, file)


def test_only_damaged_ones_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "epoch_1.pth").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"epoch_1.pth is truncated"):
        choose_checkpoint(runner(tmp_path, "auto"))


def test_complete_means_this_training_to_its_end(tmp_path: Path) -> None:
    record = {"mode": "train", "config": {"hash": "abc"}, "seed": 1, "iter": 9}
    for name, text in (("a", "{"), ("b", "[]"), ("c", json.dumps(record))):
        (tmp_path / name).mkdir()
        assert not is_complete(tmp_path, "abc", 1, 9)
        (tmp_path / name / "record.json").write_text(text)
    assert is_complete(tmp_path, "abc", 1, 9)
    for other in (("abd", 1, 9), ("abc", 2, 9), ("abc", 1, 10)):
        assert not is_complete(tmp_path, *other)
