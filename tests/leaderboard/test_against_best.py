"""Which rows are marked as no worse than the best, and which cannot be tested."""

from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.leaderboard import run_collect
from attnseg.leaderboard.groups import Table, build_tables
from attnseg.leaderboard.records import load_records
from attnseg.leaderboard.text import to_markdown
from tests.leaderboard.factory import measured_run, plain_run, record, write_run
from tests.leaderboard.factory import table as statistics


def tables(folder: Path, **options: object) -> list[Table]:
    return build_tables(load_records([folder])[0], **options)


def test_close_runs_are_marked_and_bad_ones_are_not(tmp_path: Path) -> None:
    for name, quality in (("good", 0.7), ("close", 0.699), ("bad", 0.5)):
        for seed in (0, 1):
            measured_run(tmp_path, name, quality, seed)
    (table,) = tables(tmp_path, resamples=200)
    rows = {row.name: row for row in table.rows}
    best = table.rows[0].name
    assert rows["bad"].difference.distinguishable
    assert rows["bad"].difference.high < 0
    other = ({"good", "close"} - {best}).pop()
    assert not rows[other].difference.distinguishable
    text = to_markdown([table])
    lines = {
        name: next(line for line in text.splitlines() if f"| {name} |" in line) for name in rows
    }
    assert "†" in lines[other] and "†" not in lines["bad"] and "†" not in lines[best]
    assert "over images and seeds (variance pooled over the rows) contains 0" in text


def test_rows_without_statistics_are_not_tested(tmp_path: Path) -> None:
    measured_run(tmp_path, "a", 0.7)
    plain_run(tmp_path, "b", 0.4)
    damaged = measured_run(tmp_path, "c", 0.6)
    damaged.with_name("per_image.npz").write_bytes(b"PK\x03\x04 not much")
    (table,) = tables(tmp_path)
    assert [row.difference for row in table.rows] == [None, None, None]
    notes = " ".join(table.notes)
    assert "b is not tested" in notes and "per_image.npz' is damaged" in notes


def test_metrics_that_the_statistics_lack_are_not_tested(tmp_path: Path) -> None:
    for name in ("a", "b"):
        content = record(name, {"semantic/other": {"value": 0.9}})
        write_run(tmp_path / name, content, statistics(0.9))
    (table,) = tables(tmp_path)
    assert "statistics of SemanticMetric do not give 'other'" in " ".join(table.notes)


def test_nothing_is_tested_if_the_best_has_an_undefined_seed(tmp_path: Path) -> None:
    measured_run(tmp_path, "best", 0.74, 0)
    plain_run(tmp_path, "best", None, 1)
    for name, quality in (("second", 0.638), ("third", 0.637)):
        measured_run(tmp_path, name, quality, 0)
    (table,) = tables(tmp_path, resamples=100)
    assert [row.name for row in table.rows] == ["best", "second", "third"]
    assert [row.difference for row in table.rows] == [None] * 3
    note = "No row is tested against the best, best: semantic/mIoU is not defined for seed 1."
    text = to_markdown([table])
    assert note in text and "†" not in text


def test_an_undefined_seed_of_another_row_is_said(tmp_path: Path) -> None:
    for name, quality in (("best", 0.74), ("second", 0.739), ("third", 0.638)):
        measured_run(tmp_path, name, quality, 0)
    plain_run(tmp_path, "second", None, 1)
    (table,) = tables(tmp_path, resamples=100)
    best, second, third = table.rows
    assert (best.difference, second.difference) == (None, None)
    value = {row.name: row.summary("semantic/mIoU").value for row in table.rows}
    assert third.difference.delta == pytest.approx(value["third"] - value["best"], abs=1e-12)
    (note,) = (note for note in table.notes if "tested" in note)
    assert note == (
        "second is not tested against the best: semantic/mIoU is not defined for seed 1."
    )


def test_one_note_if_the_best_has_no_statistics(tmp_path: Path) -> None:
    plain_run(tmp_path, "best", 0.9)
    for name, quality in (("b", 0.6), ("c", 0.5)):
        measured_run(tmp_path, name, quality)
    (table,) = tables(tmp_path, resamples=100)
    (note,) = (note for note in table.notes if "tested" in note)
    assert note.startswith("No row is tested against the best, best: the record '")
    assert note.endswith("has no per-image statistics.")


def test_the_number_of_resamples_is_checked(tmp_path: Path) -> None:
    for name in ("a", "b"):
        measured_run(tmp_path, name, 0.6)
    with pytest.raises(UsageError, match="-1 resamples: give a number from 1 on, or 0"):
        run_collect([str(tmp_path)], resamples=-1)
    (table,) = tables(tmp_path, resamples=0)
    assert not any("tested" in note for note in table.notes)
