"""The example and the commands of docs/sweeps.md, as a user types them."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from attnseg.apis.sweep.command_line import parse_args
from attnseg.apis.sweep.commands import run_plan
from attnseg.apis.sweep.state import STATES
from attnseg.apis.sweep.sweep_file import read_sweep

PAGE = (Path(__file__).resolve().parents[3] / "docs/sweeps.md").read_text()
COMMANDS = re.findall(r"^python tools/sweep\.py (.+)$", PAGE, re.M)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "lambda.py"
    file.write_text(re.search(r"```python\n(.+?)```", PAGE, re.S)[1])
    monkeypatch.chdir(tmp_path)
    return file


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sweep.py", *shlex.split(command)])
    arguments = parse_args(None, Path("sweep.py"))
    assert arguments["sweep"] == "lambda.py" and callable(arguments["command"])


def test_the_example_plans_its_runs(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_plan(example.name, small=False, out=None, data_dir="/data")
    assert "18 waiting." in capsys.readouterr().out
    assert len(read_sweep(example, small=True).cells()) == 6
    assert not (example.parent / "work_dirs").exists()


def test_the_page_names_each_state() -> None:
    assert set(STATES) == set(re.findall(r"^\| (\w+) \| \w.+ \|$", PAGE, re.M)) & set(STATES)
