"""What goes wrong while a config is read is one line with file, line and reason."""

import argparse
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.config_errors import OptionAction
from attnseg.apis.config_print import run_show
from attnseg.apis.experiment import build_config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = 1\nmodel = dict(", r"own\.py, line 2: syntax error: '\(' was never closed"),
        ("a = 1\nb = channels", r"own\.py, line 2: NameError: name 'channels' is not defined"),
        ("a = 1 / 0", r"own\.py, line 1: ZeroDivisionError"),
        ("raise RuntimeError('stop')", r"own\.py, line 1: RuntimeError: stop"),
        ("_base_ = './own.py'", r"own\.py.*bases lead back to itself"),
        ("_base_ = './none.py'", r"own\.py.*none\.py"),
        ("_base_ = './base.py'\nx = 1", r"own\.py, in its base .*base\.py, line 1: NameError"),
        ("a = 1\0", r"own\.py.*null bytes"),
        ("filename = 1", r"own\.py.*reserved"),
    ],
)
def test_errors_of_configs_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "base.py").write_text("y = unknown")
    with pytest.raises(UsageError, match=words):
        build_config(tmp_path / "own.py")
    if "reserved" not in words:
        with pytest.raises(UsageError, match=r"own\.py"):
            run_show(str(tmp_path / "own.py"))


def test_options_that_do_not_merge_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("train_dataloader = dict(dataset=dict(pipeline=[dict(a=1)]))")
    key = "train_dataloader.dataset.pipeline.0"
    with pytest.raises(UsageError, match=rf"--cfg-options {key}: AttributeError"):
        build_config(tmp_path / "own.py", cfg_options={key: 1})


def test_options_that_cannot_be_read_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction)
    assert parser.parse_args(["--cfg-options", "a=1"]).cfg_options == {"a": 1}
    for word in ("a=[1,2", "a"):
        with pytest.raises(SystemExit) as end:
            parser.parse_args(["--cfg-options", word])
        assert end.value.code == 2
        assert f"argument --cfg-options: '{word}'" in capsys.readouterr().err
