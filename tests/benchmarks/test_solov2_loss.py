"""The benchmark of SOLOv2's loss compares the same pairs and the same losses."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_forms_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    common = importlib.import_module("common")
    script = importlib.import_module("solov2_loss")

    def here(factory: Callable, *args: object, threads: int, repeats: int) -> object:
        call = factory(*args)
        values = [call() for _ in range(1 + repeats)]
        return common.Measurement(1.0, [1.0], 1.0, values[-1])

    monkeypatch.setattr(script, "measure", here)
    figures = script.compare(3, (60, 90), (64, 96), 1, 1)
    assert figures["pairs"] == figures["pairs_mmdet"] > 0
    for task in ("forward", "forward_backward"):
        assert figures[f"{task}_relative_difference_plain"] < 1e-5
        assert figures[f"{task}_time_ratio_full"] > 0
