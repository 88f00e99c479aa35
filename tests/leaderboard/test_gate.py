"""Expected results hold, or the build fails and says why."""

import json
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.leaderboard import run_gate
from tests.leaderboard.factory import plain_run, record, write_run


def gate(root: Path, expected: Path, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    capsys.readouterr()
    try:
        run_gate([str(root)], str(expected))
        passed = True
    except SystemExit as end:
        assert end.code == 1
        passed = False
    out, err = capsys.readouterr()
    return passed, out + err


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    plain_run(tmp_path / "first", "a", 0.50, 0)
    plain_run(tmp_path / "first", "a", 0.52, 1)
    file = tmp_path / "expected.json"
    run_gate([str(tmp_path / "first")], str(file), write=True, tolerance=0.02)
    return file


def test_what_was_written_passes(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = json.loads(expected.read_text())["runs"]["a"]
    assert entry["metrics"] == {"semantic/mIoU": {"value": 0.51, "tolerance": 0.02}}
    passed, text = gate(tmp_path / "first", expected, capsys)
    assert passed and text.count("ok ") == 2


@pytest.mark.parametrize(
    ("value", "fine"), [(0.491, True), (0.489, False), (0.9, True), (None, False)]
)
def test_a_run_may_not_fall_below(
    tmp_path: Path,
    expected: Path,
    capsys: pytest.CaptureFixture[str],
    value: float | None,
    fine: bool,
) -> None:
    plain_run(tmp_path / "second", "a", value)
    passed, text = gate(tmp_path / "second", expected, capsys)
    assert passed is fine
    assert "a, seed 0: semantic/mIoU" in text and "expected >= 0.51 - 0.02 = 0.49" in text


def test_a_distance_may_not_rise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(root: str, value: float) -> Path:
        content = record("a", {"semantic/mHD95": {"value": value}})
        return write_run(tmp_path / root / "a", content)

    run("first", 5.0), run("lower", 2.0), run("higher", 6.0)
    file = tmp_path / "expected.json"
    run_gate([str(tmp_path / "first")], str(file), write=True, tolerance=0.5)
    assert gate(tmp_path / "lower", file, capsys)[0]
    passed, text = gate(tmp_path / "higher", file, capsys)
    assert not passed and "expected <= 5 + 0.5 = 5.5" in text


def test_missing_runs_metrics_and_other_settings_fail(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_run(tmp_path / "missing", "b", 0.9)
    passed, text = gate(tmp_path / "missing", expected, capsys)
    assert not passed and "a: no record of this run" in text and "b: nothing is expected" in text

    write_run(tmp_path / "metric" / "a", record("a", {"semantic/aAcc": {"value": 0.9}}))
    passed, text = gate(tmp_path / "metric", expected, capsys)
    assert not passed and "unknown metric 'semantic/mIoU'; the record has semantic/aAcc" in text

    plain_run(tmp_path / "settings", "a", 0.9, data={"hash": "b" * 64})
    passed, text = gate(tmp_path / "settings", expected, capsys)
    assert not passed
    assert "a, seed 0: measured differently than expected: annotation hash aaaaaaaaaaaa" in text

    (tmp_path / "none").mkdir()
    assert not gate(tmp_path / "none", expected, capsys)[0]


def test_one_seed_measured_differently_fails(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_run(tmp_path / "runs", "a", 0.52, 0)
    plain_run(tmp_path / "runs", "a", 0.52, 1, data={"split": "test"})
    passed, text = gate(tmp_path / "runs", expected, capsys)
    assert not passed and "a, seed 1: measured differently" in text and "ok    a, seed 0" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "needs 'schema' 1"),
        ('{"schema": 1, "runs": {}}', "one entry at least"),
        ('{"schema": 1, "runs": {"a": {}}}', "run 'a' has no 'metrics'"),
        ('{"schema": 1, "runs": {"a": {"metrics": {"PQ": 0.5}}}}', "metric 'PQ' of run 'a'"),
        (
            '{"schema": 1, "runs": {"a": {"metrics": {"PQ": {"value": 1, "tolerance": -1}}}}}',
            "is negative",
        ),
    ],
)
def test_damaged_expectations_are_named(tmp_path: Path, content: str, words: str) -> None:
    plain_run(tmp_path / "runs", "a", 0.5)
    file = tmp_path / "expected.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=words):
        run_gate([str(tmp_path / "runs")], str(file))


def test_nothing_is_written_without_values(tmp_path: Path) -> None:
    plain_run(tmp_path / "runs", "a", None)
    with pytest.raises(UsageError, match="'a' has no value of semantic/mIoU"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"), write=True)
    with pytest.raises(UsageError, match="belong to --write"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"), tolerance=0.1)
    with pytest.raises(UsageError, match="--write makes it"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"))
    assert not (tmp_path / "expected.json").exists()
