"""Damaged inputs of every kind: read rightly, or refused in one line that names file or key.

``ATTNSEG_CAMPAIGN=3000:7`` reads 3,000 of them with the seed 7; 140 by default.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.run import SHARES

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process of its own reports, which a hang or lack of memory cannot take along."""
    size, _, seed = os.environ.get("ATTNSEG_CAMPAIGN", "140:0").partition(":")
    out = tmp_path_factory.mktemp("campaign") / "report.json"
    command = [sys.executable, "-m", "tests.campaign.run", size, seed or "0", str(out)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("category", SHARES)
def test_no_input_does_harm(found: dict[str, Any], category: str) -> None:
    report = found[category]
    assert report["counts"]["tried"] > 0 and report["counts"]["successes"] > 0
    assert not report["defects"], "\n".join(report["defects"])


@pytest.mark.parametrize(
    ("tool", "words", "text"),
    [
        ("train.py", ["{bad}"], "bad.py, line 1: syntax error"),
        ("test.py", ["{bad}", "none.pth"], "bad.py, line 1: syntax error"),
        ("leaderboard.py", ["collect", "{folder}"], "record.json' cannot be read as JSON"),
    ],
)
def test_command_lines_end_in_one_line(
    tmp_path: Path, tool: str, words: list[str], text: str
) -> None:
    (tmp_path / "bad.py").write_text("model = dict(")
    (tmp_path / "record.json").write_bytes(b"\xff\xfe{")
    words = [word.format(bad=tmp_path / "bad.py", folder=tmp_path) for word in words]
    done = subprocess.run(
        [sys.executable, str(REPO / "tools" / tool), *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr
