"""Where a training goes on."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.runner import save_checkpoint

from attnseg.apis.command import UsageError
from attnseg.apis.resume import choose_checkpoint, complete_record, hold_folder
from attnseg.engine.config_hash import config_hash, resume_hash
from attnseg.engine.run_record import META
from attnseg.errors import InputError


def runner(
    folder: Path, resume: object, load_from: str | None = None, **cfg: Any
) -> SimpleNamespace:
    cfg = Config({"resume": resume, "load_from": load_from, **cfg})
    return SimpleNamespace(
        cfg=cfg,
        rank=0,
        seed=1,
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


def test_complete_means_a_record_of_this_training(tmp_path: Path) -> None:
    record = {"mode": "train", "config": {"hash": "abc"}, "seed": 1}
    for name, text in (("a", "{"), ("b", "[]"), ("c", json.dumps(record))):
        (tmp_path / name).mkdir()
        assert complete_record(tmp_path, "abc", 1) is None
        (tmp_path / name / "record.json").write_text(text)
    assert complete_record(tmp_path, "abc", 1) == tmp_path / "c/record.json"
    for name, finished in (("d", "2026-01-03"), ("e", "2026-01-02")):
        (tmp_path / name).mkdir()
        text = json.dumps({**record, "finished": finished})
        (tmp_path / name / "record2.json").write_text(text)
    assert complete_record(tmp_path, "abc", 1) == tmp_path / "d/record2.json"
    assert complete_record(tmp_path, "abd", 1) is complete_record(tmp_path, "abc", 2) is None


def _saved_by(cfg: dict, seed: int, folder: Path) -> None:
    own = {"resume_hash": resume_hash(cfg)}
    meta = {"iter": 3, "seed": seed, META: own}
    save_checkpoint({"meta": meta, "state_dict": {}}, str(folder / "iter_3.pth"))


def test_a_checkpoint_of_another_experiment_is_not_gone_on_from(tmp_path: Path) -> None:
    cfg = {"model": {"type": "A"}, "train_cfg": {"max_iters": 5}, "randomness": {"seed": 1}}
    _saved_by(cfg, 1, tmp_path)
    for change in ({}, {"train_cfg": {"max_iters": 9}}, {"randomness": {}}):
        found = runner(tmp_path, "auto", **{**cfg, **change})
        assert not choose_checkpoint(found) and found._resume
    for change, words in (
        ({"model": {"type": "B"}}, r"another config.*--work-dir.*--resume .*iter_3.pth"),
        ({"randomness": {"seed": 2}}, r"seed 1, not 2"),
    ):
        with pytest.raises(UsageError, match=words):
            choose_checkpoint(runner(tmp_path, "auto", **{**cfg, **change}))


def test_a_complete_training_is_not_begun_again(tmp_path: Path) -> None:
    cfg = {"model": {"type": "A"}, "randomness": {"seed": 1}}
    _saved_by(cfg, 1, tmp_path)
    (tmp_path / "x").mkdir()
    record = {"mode": "train", "config": {"hash": config_hash(cfg)}, "seed": 1}
    (tmp_path / "x/record.json").write_text(json.dumps(record))
    assert choose_checkpoint(runner(tmp_path, "auto", **cfg))
    # The file itself was asked for.
    assert not choose_checkpoint(runner(tmp_path, True, str(tmp_path / "iter_3.pth"), **cfg))


def test_one_training_at_a_time_writes_into_a_folder(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from types import SimpleNamespace; from attnseg.apis.resume import *;"
        "from attnseg.apis.resume import hold_folder\n"
        "with hold_folder(SimpleNamespace(rank=0, work_dir=sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        refused = pytest.raises(UsageError, match=r"another training writes into this folder")
        with refused, hold_folder(runner(tmp_path, False)):
            pass
        other.kill()
    with hold_folder(runner(tmp_path, False)):
        pass
