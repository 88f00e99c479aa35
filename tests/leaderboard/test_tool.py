"""The commands of docs/leaderboard.md, as a user types them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaderboard.factory import measured_run

REPO = Path(__file__).resolve().parents[2]
COMMANDS = re.findall(
    r"^python (tools/leaderboard\.py .+)$", (REPO / "docs/leaderboard.md").read_text(), re.M
)


def tool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPO / "tools" / "leaderboard.py"), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPO / "projects")},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_every_command_of_the_guide_works(tmp_path: Path) -> None:
    for name, quality in (("unet", 0.6), ("maskattn", 0.7)):
        measured_run(tmp_path / "work_dirs", name, quality).parents[1].rename(
            tmp_path / "work_dirs" / name
        )
    kinds = set()
    for command in COMMANDS:
        _, *arguments = shlex.split(command)
        kinds.add(arguments[0])
        result = tool(tmp_path, *arguments)
        assert result.returncode == 0, (command, result.stderr)
        assert result.stderr == "" or arguments[0] == "page"
    assert kinds == {"collect", "compare", "page", "gate", "append"}
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if path.is_file()}
    assert {f"results/leaderboard.{form}" for form in ("csv", "md", "json", "tex")} <= written
    assert {"results/records.csv", "difference.json", "leaderboard.html"} <= written
    assert sum(name.startswith("shared/results/") for name in written) == 4


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("collect", "nowhere"), 2, "error: 'nowhere' does not exist"),
        (("collect", "."), 2, "error: no record with metrics below ."),
        (("compare", ".", "."), 2, "holds no record with metrics"),
        (("gate", ".", "--expected", "none.json"), 2, "--write makes it from present records"),
        (("page", ".", "--out", "x.html"), 2, "no record with metrics"),
        (("append", ".", "--to", "x"), 2, "no record with metrics"),
        (("rank", "."), 2, "invalid choice: 'rank'"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    result = tool(tmp_path, *arguments)
    assert result.returncode == status
    assert words in result.stderr and "Traceback" not in result.stderr


def test_metrics_may_be_named_one_by_one(tmp_path: Path) -> None:
    measured_run(tmp_path, "unet", 0.6)
    apart = tool(tmp_path, "collect", ".", "--metric", "mIoU", "--metric", "aAcc")
    assert apart.stdout == tool(tmp_path, "collect", ".", "--metric", "mIoU", "aAcc").stdout
    assert "semantic/mIoU" in apart.stdout and "semantic/aAcc" in apart.stdout
