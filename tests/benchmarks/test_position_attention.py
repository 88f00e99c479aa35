import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_both_forms_agree_and_every_figure_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(importlib.import_module("common"), "RESULTS", tmp_path)
    script = importlib.import_module("position_attention")
    options = ["--side", "24", "--channels", "128", "--threads", "1", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["position_attention.py", *options])
    script.main()
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    record = json.loads(last.removeprefix("RESULT "))
    assert json.loads((tmp_path / "position_attention_custom.json").read_text()) == record
    for part in ("attention", "block"):
        for name, outputs in (("forward", 1), ("training", 4)):
            row = record[f"{part}_{name}"]
            assert len(row["max_abs_difference"]) == outputs
            pairs = zip(row["max_abs_difference"], row["max_abs"], strict=True)
            assert all(0 <= error <= 1e-5 * largest for error, largest in pairs)
            assert row["time_ratio"] > 0
            assert row["tensor_mib_ours"] < row["tensor_mib_dense"]
