"""How far a training is, by its log."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.progress import share_done


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(
        labels=("A",),
        seed=0,
        config=Path("leaf.py"),
        folder=tmp_path,
        content="c",
        config_hash="a",
        unit="max_iters",
        steps=10,
        arguments=("leaf.py",),
    )


def _log(run: Run, *entries: dict[str, object], end: str = "") -> None:
    text = "".join(f"{json.dumps(entry)}\n" for entry in entries)
    (run.folder / "training.jsonl").write_text(text + end)


def test_the_log_of_all_starts_tells_how_far_a_training_is(run: Run) -> None:
    assert share_done(run) == 0.0
    # A later start has logged nothing of its own yet.
    (run.folder / "20260102_000000" / "vis_data").mkdir(parents=True)
    _log(run, *({"mode": "train", "iter": n, "epoch": 0} for n in (1, 2, 3)))
    assert share_done(run) == pytest.approx(0.3)
    assert share_done(replace(run, steps=0)) == 0.0
    # Half a line is being written.
    step = {"mode": "train", "iter": 4, "epoch": 1}
    _log(run, step, {"mode": "val", "iter": 4, "epoch_loss": 1.0}, end='{"mode": "tr')
    assert share_done(run) == pytest.approx(0.4)
    assert share_done(replace(run, unit="max_epochs", steps=4)) == pytest.approx(0.25)


def test_a_training_is_not_over_before_its_record(run: Run) -> None:
    _log(run, {"mode": "train", "iter": 10, "epoch": 0})
    assert share_done(run) == 0.99
