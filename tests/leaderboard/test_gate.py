"""Expected results hold, or the build fails and says why."""

import json
from pathlib import Path
from typing import Any

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
    assert passed and text.count("ok ") == 1


def test_seeds_that_differ_more_than_the_tolerance_pass_as_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, value in enumerate((0.50, 0.56)):
        plain_run(tmp_path / "runs", "a", value, seed)
    file = tmp_path / "expected.json"
    run_gate([str(tmp_path / "runs")], str(file), write=True)
    assert json.loads(file.read_text())["runs"]["a"]["seeds"] == [0, 1]
    passed, text = gate(tmp_path / "runs", file, capsys)
    assert passed
    assert "ok    a, mean of seeds 0, 1: semantic/mIoU 0.53, expected >= 0.53 - 0.01 = 0.52" in text


def test_a_vanished_seed_fails_and_a_new_one_does_not_count(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_run(tmp_path / "runs", "a", 0.9, 0)
    plain_run(tmp_path / "runs", "a", 0.1, 2)
    passed, text = gate(tmp_path / "runs", expected, capsys)
    assert not passed and "FAIL  a, seed 1: no record of this seed was found" in text
    assert "mIoU" not in text
    plain_run(tmp_path / "runs", "a", 0.9, 1)
    passed, text = gate(tmp_path / "runs", expected, capsys)
    assert passed and "a, seed 2: nothing is expected of this seed" in text


def test_a_skipped_record_fails(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = tmp_path / "first" / "a_0" / "20261122_090000" / "record.json"
    newest.parent.mkdir()
    newest.write_text('{"schema": 1, ')
    passed, text = gate(tmp_path / "first", expected, capsys)
    assert not passed and f"FAIL  {newest}: skipped" in text
    before = expected.read_bytes()
    with pytest.raises(UsageError, match="nothing was written: 1 files were skipped"):
        run_gate([str(tmp_path / "first")], str(expected), write=True)
    assert expected.read_bytes() == before


def test_two_trainings_of_one_seed_are_not_averaged(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_run(tmp_path / "first" / "more", "a", 0.9, 0, config={"hash": "changed"})
    passed, text = gate(tmp_path / "first", expected, capsys)
    assert not passed and "a, seed 0: 2 different trainings" in text and "more/a_0" in text
    with pytest.raises(UsageError, match="a, seed 0: 2 different trainings"):
        run_gate([str(tmp_path / "first")], str(expected), write=True)


def test_the_latest_measurement_of_a_training_counts(
    tmp_path: Path, expected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = record("a", {"semantic/mIoU": {"value": 0.1}, "boundary/mBF": {"value": 0.5}})
    evaluator = {
        "type": "BoundaryMetric",
        "prefix": "boundary",
        "settings": {},
        "annotations": None,
    }
    later = {"id": "20261122_090000-test-1", "finished": "2026-11-22T09:00:00+00:00"}
    content |= {"evaluators": [*content["evaluators"], evaluator], **later}
    write_run(tmp_path / "first" / "a_0", content)
    passed, text = gate(tmp_path / "first", expected, capsys)
    assert (
        not passed
        and "a, mean of seeds 0, 1: semantic/mIoU 0.31, expected >= 0.49"
        in text.replace("0.51 - 0.02 = ", "")
    )


def test_runs_without_a_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain_run(tmp_path / "runs", "a", 0.5, None)
    file = tmp_path / "expected.json"
    run_gate([str(tmp_path / "runs")], str(file), write=True)
    passed, text = gate(tmp_path / "runs", file, capsys)
    assert passed and "ok    a: semantic/mIoU 0.5" in text
    plain_run(tmp_path / "runs" / "more", "a", 0.6, None)
    passed, text = gate(tmp_path / "runs", file, capsys)
    assert not passed and "a: 2 different trainings" in text


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
    for seed in (0, 1):
        plain_run(tmp_path / "second", "a", value, seed)
    passed, text = gate(tmp_path / "second", expected, capsys)
    assert passed is fine
    assert (
        "a, mean of seeds 0, 1: semantic/mIoU" in text and "expected >= 0.51 - 0.02 = 0.49" in text
    )


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

    for seed in (0, 1):
        content = record("a", {"semantic/aAcc": {"value": 0.9}}, seed=seed)
        write_run(tmp_path / "metric" / f"a_{seed}", content)
    passed, text = gate(tmp_path / "metric", expected, capsys)
    assert (
        not passed and "unknown metric 'semantic/mIoU'; '" in text and "has semantic/aAcc" in text
    )

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
    assert not passed and "a, seed 1: measured differently" in text and "ok" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "needs 'schema' 1"),
        ('{"schema": 1, "runs": {}}', "one entry at least"),
        ('{"schema": 1, "runs": {"a": {}}}', "run 'a' has no 'metrics'"),
    ],
)
def test_damaged_expectations_are_named(tmp_path: Path, content: str, words: str) -> None:
    plain_run(tmp_path / "runs", "a", 0.5)
    file = tmp_path / "expected.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=words):
        run_gate([str(tmp_path / "runs")], str(file))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": {"PQ": 0.5}}, "run 'a' needs a 'value' and a 'tolerance' for 'PQ'"),
        ({"metrics": {"PQ": {"value": 10**400, "tolerance": 0}}}, "for 'PQ', finite numbers"),
        ({"metrics": {"PQ": {"value": True, "tolerance": 0}}}, "for 'PQ', finite numbers"),
        ({"metrics": {"PQ": {"value": 1, "tolerance": -1}}}, "for 'PQ' that is negative"),
        ({"seeds": None}, "run 'a' needs 'seeds', a list of different integers or null, not None"),
        ({"seeds": []}, "needs 'seeds'"),
        ({"seeds": [0, 0]}, "needs 'seeds'"),
        ({"seeds": [[]]}, "needs 'seeds'"),
        ({"seeds": [True]}, "needs 'seeds'"),
        ({"evaluators": ["x"]}, r"run 'a' needs 'evaluators', .* not \['x'\]"),
        ({"evaluators": [{"settings": 3}]}, "needs 'evaluators'"),
        ({"evaluators": None}, "needs 'evaluators'"),
    ],
)
def test_incomplete_expectations_are_named(
    tmp_path: Path, expected: Path, changes: dict[str, Any], words: str
) -> None:
    content = json.loads(expected.read_text())
    content["runs"]["a"] |= changes
    expected.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=words):
        run_gate([str(tmp_path / "first")], str(expected))


def test_one_name_measured_in_two_ways_is_not_written(tmp_path: Path) -> None:
    for seed, split in enumerate(("val", "test")):
        plain_run(tmp_path / "runs", "a", 0.5, seed, data={"split": split})
    with pytest.raises(UsageError, match=r"in 2 ways \(split test and val\): give the folders"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"), write=True)


def test_nothing_is_written_without_values(tmp_path: Path) -> None:
    plain_run(tmp_path / "runs", "a", None)
    with pytest.raises(UsageError, match="'a' has no value of semantic/mIoU"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"), write=True)
    with pytest.raises(UsageError, match="the tolerance is -1, it must be finite"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"), True, tolerance=-1)
    with pytest.raises(UsageError, match="belong to --write"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"), tolerance=0.1)
    with pytest.raises(UsageError, match="--write makes it"):
        run_gate([str(tmp_path / "runs")], str(tmp_path / "expected.json"))
    assert not (tmp_path / "expected.json").exists()
