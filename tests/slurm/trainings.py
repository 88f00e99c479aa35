"""Small trainings of MaskAttn-UNet on the cluster of the tests, and what they leave."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.conftest import REPO
from tests.slurm.cluster import Cluster

STEPS, INTERVAL = 60, 20
_LEAF = "maskattn_unet/maskattn-unet_small_1xb8-400i_dsb2018-semantic-128x128"
_DEMO = "maskattn_unet/maskattn-unet_small_1xb8-400i_demo-semantic-128x128"


class Training:
    """One run folder, trained by jobs or by this machine alone.

    Two processes with batches of 2 each, or one with 4. SGD, since AdamW divides by the size of
    gradients that are rounding errors; no padding, since its pixels are left out of each process's
    own mean; statistics of BatchNorm are those of all processes.
    """

    def __init__(self, cluster: Cluster, folder: Path, data: Path | None, demo: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.leaf = _LEAF if data else _DEMO
        pipeline = "train_dataloader.dataset.pipeline.3"
        self._data = ["--data", str(data / "dsb2018" if data else demo)]
        self._options = [
            *("--max-iters", str(STEPS), "--cfg-options", f"train_cfg.val_interval={INTERVAL}"),
            f"default_hooks.checkpoint.interval={INTERVAL}",
            "default_hooks.checkpoint.max_keep_ckpts=-1",
            *("train_dataloader.num_workers=1", "val_dataloader.num_workers=1"),
            *("val_dataloader.dataset.indices=2", "sync_bn=torch"),
            *("optim_wrapper.optimizer.type=SGD", "optim_wrapper.optimizer.lr=0.01"),
            *(f"{pipeline}.ratio_range=(1.0,1.25)", f"{pipeline}.size=(64,64)"),
            "val_dataloader.dataset.pipeline.1.scale=(64,64)",
        ]

    def alone(self) -> None:
        """Train to the end in one process."""
        tool = (sys.executable, REPO / "tools/train.py", self.leaf, "--work-dir", self.folder)
        options = (*self._data, *self._options, "train_dataloader.batch_size=4")
        self.cluster.run(*tool, *options, timeout=300)

    def submit(self, *options: str) -> str:
        """Send a job of two nodes with one task each; returns its number."""
        done = self.cluster.run(
            *(sys.executable, REPO / "tools/slurm/submit.py", self.leaf),
            *("--work-dir", self.folder, "--nodes", "2", *options, "--"),
            *(*self._data, *self._options, "train_dataloader.batch_size=2"),
            cwd=self.folder.parent,
            timeout=120,
        )
        return done.stdout.split()[3].rstrip(";")

    def wait_for_step(self, step: int, timeout: float = 120.0) -> None:
        """Wait until a step is in the log, or the training has ended."""
        end = time.monotonic() + timeout
        while self.last_step() < step:
            assert time.monotonic() < end, f"step {step} has not come\n{self.output()}"
            time.sleep(0.02)

    def last_step(self) -> int:
        """Of the log; 0 without one."""
        return max((entry["iter"] for entry in self.log()), default=0)

    def log(self) -> list[dict[str, Any]]:
        """The whole lines of the training's log."""
        path = self.folder / "training.jsonl"
        text = path.read_text() if path.is_file() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def steps(self) -> list[int]:
        """The training steps in the log, in its order."""
        return [entry["iter"] for entry in self.log() if entry["mode"] == "train"]

    def resumed_at(self) -> list[int]:
        """The steps behind which each restart went on; restarts from nothing are not among them."""
        return [
            int(step) for step in re.findall(r"goes on from .* behind step (\d+)", self.output())
        ]

    def weights(self, step: int = STEPS) -> dict[str, torch.Tensor]:
        """State of the model behind a step."""
        path = self.folder / f"iter_{step}.pth"
        return torch.load(path, map_location="cpu", weights_only=False)["state_dict"]

    def output(self) -> str:
        """What the jobs have written."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("slurm-*.out")))


def largest_difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Over all values of two states of a model."""
    assert first.keys() == second.keys()
    return max(float((first[key].float() - second[key].float()).abs().max()) for key in first)
