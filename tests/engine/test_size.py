"""SizeHook: what weights and optimizer take."""

import json
from pathlib import Path

import pytest

from tests.engine.recorded import HOOK, make_runner

NUMBERS = 3 * 4 * 9 + 8  # of RecordNet's parameters
BUFFERS = 8 * 4 + 8  # bytes: running means and variances, and an int64 counter


def test_a_training_has_weights_and_moments_in_its_record(tmp_path: Path) -> None:
    adam = {"optimizer": {"type": "Adam", "lr": 0.1}}
    hooks = (HOOK, {"type": "attnseg.SizeHook"})
    make_runner(tmp_path, hooks=hooks, optim_wrapper=adam).train()
    (record,) = tmp_path.glob("*_*/record.json")
    found = json.loads(record.read_text())["metrics"]
    weights = 4 * NUMBERS + BUFFERS
    assert found["size/weights_mib"]["value"] == weights / 2**20
    # Adam keeps two moments of each number, and a step for each of the three tensors.
    expected = (weights + 8 * NUMBERS + 3 * 4) / 2**20
    assert found["size/training_mib"]["value"] == pytest.approx(expected, rel=1e-12)


def test_a_test_has_no_optimizer(tmp_path: Path) -> None:
    metrics = make_runner(tmp_path, hooks=({"type": "attnseg.SizeHook"},)).test()
    assert metrics["size/weights_mib"] == (4 * NUMBERS + BUFFERS) / 2**20
    assert "size/training_mib" not in metrics
