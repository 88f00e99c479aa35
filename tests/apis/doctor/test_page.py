"""docs/doctor.md: each command prints what stands below it, and each finding is in its table."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from attnseg.apis.doctor.catalogue import CHECKS

REPO = Path(__file__).resolve().parents[3]
PAGE = (REPO / "docs/doctor.md").read_text()


def _sessions() -> list[tuple[str, str]]:
    blocks = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.S))
    parts = re.split(r"^\$ ", blocks, flags=re.M)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def test_each_command_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command, printed in _sessions():
        words = shlex.split(command)
        if words[0] == "rm":
            Path(words[1]).unlink()
        elif words[0] == "cp":
            shutil.copy(*words[1:])
        else:
            monkeypatch.setattr(sys, "argv", [str(REPO / words[1]), *words[2:]])
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as end:
                assert end.code == int("fault " in printed)
            assert capsys.readouterr().out == printed
    assert Path("report.json").is_file() and Path("sheet.png").is_file()


def test_table_is_the_catalogue() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.+) \|$", PAGE, re.M)
    assert rows == [(code, check.severity, check.title) for code, check in CHECKS.items()]
