"""docs/tutorial.md, word for word: its blocks in their order, in a folder of microscope files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.microscope import write_microscope

REPO = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```(bash|python)\n(.*?)^```",
    (REPO / "docs/tutorial.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


def script() -> str:
    """The page as one program: configs are files, other Python is a program."""
    parts = ["set -eu"]
    for language, text in BLOCKS:
        name = re.match(r"# (\w+\.py)\n", text)
        if language == "python":
            target = f"cat > {name[1]}" if name else "python -"
            parts.append(f"{target} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK")
        else:
            parts.append(text)
    return "\n".join(parts)


def test_ten_steps_from_microscope_files_to_the_page(tmp_path, demo_set, data_root) -> None:
    source = data_root / "usiigaci" if data_root else demo_set
    assert len(write_microscope(source, tmp_path, side=96, most=3)) == 6
    (tmp_path / "tools").symlink_to(REPO / "tools")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ITERS": "2",
        "STOP": "300",
    }
    ended = subprocess.run(
        ["bash", "-c", script()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    for model in ("cells", "peer"):
        result = json.loads((tmp_path / f"work_dirs/{model}/result.json").read_text())
        assert {"coco/AP", "cell/F1@0.50"} <= set(result["metrics"])
        assert (tmp_path / f"found/{model}/index.json").is_file()
    page = (tmp_path / "leaderboard.html").read_text()
    assert "My cells" in page and "data:image/" in page
    assert ended.stdout.count(" cells\n") >= 6
    assert (tmp_path / "sheet.png").is_file()
    (card,) = (tmp_path / "published").glob("*.md")
    assert "coco/AP" in card.read_text()
    assert len(list((tmp_path / "masks/overlay").iterdir())) == 6
    assert (tmp_path / "masks/coco_results.json").is_file()


def test_the_page_has_ten_steps() -> None:
    steps = re.findall(r"^## (\d+)\. ", (REPO / "docs/tutorial.md").read_text(), re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)]
    assert len(BLOCKS) >= 10
