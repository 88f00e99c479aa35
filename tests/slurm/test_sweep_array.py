"""A sweep of four runs as an array on a real Slurm: submitted, watched, and its table filled."""

import json
import sys
from pathlib import Path

import pytest

from tests.apis.sweep.factory import write_content
from tests.slurm.cluster import Cluster

REPO = Path(__file__).resolve().parents[2]
LEAF = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-panoptic-128x128"


@pytest.mark.slow
def test_an_array_of_four_runs_fills_the_table(
    slurm: Cluster, demo_set: Path, tmp_path: Path
) -> None:
    speed = {
        f"{loader}_dataloader.{key}": value
        for loader in ("train", "val")
        for key, value in (("num_workers", 0), ("persistent_workers", False))
    }
    content = {
        "base": LEAF,
        "options": {**speed, "train_dataloader.batch_size": 2, "data_root": str(demo_set)},
        "axes": {"optim_wrapper.optimizer.lr": [0.002, 0.001]},
        "seeds": [0, 1],
        "columns": ["panoptic/PQ", "semantic/mIoU"],
        "max_iters": 2,
    }
    file = write_content(tmp_path / "four.py", content)

    def sweep(command: str, *more: str) -> str:
        words = [sys.executable, REPO / "tools" / "sweep.py", command, file]
        return slurm.run(*words, "--out", tmp_path / "out", *more, cwd=tmp_path).stdout

    text = sweep("submit", "--max-parallel", "2", "--cpus-per-task", "1")
    job = text.split()[2].rstrip(":")
    assert "4 runs" in text
    # What waits or runs is not sent again.
    assert "nothing to submit" in sweep("submit")
    slurm.wait(job, timeout=600)
    states = json.loads(sweep("status", "--json"))
    assert [state["state"] for state in states] == ["done"] * 4, slurm.logs()
    assert all(json.loads((Path(s["folder"]) / "state.json").read_text())["job"] for s in states)
    sweep("table")
    rows = json.loads((tmp_path / "out" / "four" / "table.json").read_text())["rows"]
    assert [row["seeds"] for row in rows] == [[0, 1], [0, 1]]
    assert all(row["metrics"]["semantic/mIoU"]["n"] == 2 for row in rows)
