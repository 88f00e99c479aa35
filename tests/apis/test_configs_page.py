"""docs/configs.md: each command prints what stands below it."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs/configs.md"


def sessions(text: str) -> list[tuple[str, str]]:
    """Commands of a page, each with the output below it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, body in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(), re.S):
        # The comment is a line of the file, as a reader would copy it.
        (tmp_path / name).write_text(f"# {name}\n{body}")
    (tmp_path / "configs").symlink_to(REPO / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    python, script, *words = shlex.split(command)
    assert python == "python"
    monkeypatch.setattr(sys, "argv", [str(REPO / script), *words])
    try:
        runpy.run_path(str(REPO / script), run_name="__main__")
    except SystemExit as error:
        assert error.code == (1 if words[0] == "diff" else 2)
    said = capsys.readouterr()
    return said.out + "".join(
        line for line in said.err.splitlines(keepends=True) if line.startswith("error: ")
    )


@pytest.mark.parametrize(("command", "printed"), sessions(PAGE.read_text()))
@pytest.mark.usefixtures("folder")
def test_command_prints_what_the_page_shows(command, printed, monkeypatch, capsys) -> None:
    assert printed
    assert output(command, monkeypatch, capsys) == printed


def test_every_python_example_is_a_file_that_a_command_reads() -> None:
    text = PAGE.read_text()
    names = re.findall(r"```python\n# (\S+\.py)\n", text)
    assert len(names) == text.count("```python")
    commands = " ".join(command for command, _ in sessions(text))
    assert all(name in commands for name in names)
