"""A small sweep through the command line: planned, run, left alone when finished, and its table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apis.sweep.factory import write_content

REPO = Path(__file__).resolve().parents[2]
LEAF = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"
KEY = "panoptic/PQ"


def _sweep(command: str, file: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, str(REPO / "tools" / "sweep.py"), command, str(file), "--small"]
    folder = file.parent
    words += ["--out", str(folder / "out"), "--data-dir", str(folder / "data"), *more]
    return subprocess.run(words, capture_output=True, text=True, cwd=folder)


@pytest.mark.slow
def test_a_sweep_from_its_file_to_its_table(demo_set: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(demo_set)
    speed = {
        f"{loader}_dataloader.{key}": value
        for loader in ("train", "val")
        for key, value in (("num_workers", 0), ("persistent_workers", False))
    }
    variants = {"MaskAttn": {}, "broken": {"options": {"model.backbone.preset": "none-such"}}}
    paper = {
        "source": "Table 4",
        "rows": [{"where": {"variant": "MaskAttn"}, "values": {KEY: 45.5}}],
        "unavailable": {"YOLOv9": "external program"},
    }
    content = {
        "title": "Tiny",
        "base": LEAF,
        "axes": {"variant": variants},
        "seeds": [0],
        "columns": [KEY],
        "paper": paper,
        "small": {"options": {**speed, "train_dataloader.batch_size": 2}, "max_iters": 2},
    }
    file = write_content(tmp_path / "tiny.py", content)
    done = _sweep("run", file)
    assert done.returncode == 1, done.stdout + done.stderr
    states = {tuple(s["labels"]): s for s in json.loads(_sweep("status", file, "--json").stdout)}
    good, bad = states[("MaskAttn",)], states[("broken",)]
    assert good["state"] == "done" and bad["state"] == "failed"
    assert "none-such" in bad["detail"]
    record = json.loads(Path(good["record"]).read_text())
    assert "train.py" in record["command"] and "--resume" in record["command"]

    # Under another label it is still the same run.
    content["axes"] = {"variant": {"ours": {}}}
    content["paper"] = None
    write_content(file, {key: value for key, value in content.items() if value is not None})
    again = _sweep("run", file)
    assert again.returncode == 0 and "1 done." in again.stdout
    assert [path.name for path in (tmp_path / "out" / "tiny-small").glob("MaskAttn-*/2*")] == [
        Path(good["record"]).parent.name
    ]

    write_content(file, content | {"axes": {"variant": variants}, "paper": paper})
    table = _sweep("table", file)
    assert table.returncode == 0, table.stderr
    assert "Small form: data and length" in table.stdout
    assert "| broken | none yet: 1 failed | – | – |" in table.stdout
    assert "| YOLOv9 | not run here: external program | – | – |" in table.stdout
    folder = tmp_path / "out" / "tiny-small"
    assert {path.name for path in folder.glob("*.*") if path.is_file()} == {
        *("table.md", "table.csv", "table.json", "page.html")
    }
    row = json.loads((folder / "table.json").read_text())["rows"][0]
    assert row["metrics"][KEY]["value"] == record["metrics"][KEY]["value"]
    assert row["paper"] == {KEY: 45.5}
