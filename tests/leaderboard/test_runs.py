"""What is one run, and what is another."""

import json
from pathlib import Path

import pytest

from attnseg.apis.leaderboard import run_append
from attnseg.leaderboard.export import tables_json
from attnseg.leaderboard.groups import Table, build_tables
from attnseg.leaderboard.records import load_records
from attnseg.leaderboard.runs import canonical, describe_differences, latest_runs
from attnseg.leaderboard.text import to_markdown
from tests.leaderboard.factory import plain_run, record, write_run


def tables(folder: Path, **options: object) -> list[Table]:
    return build_tables(load_records([folder])[0], **options)


def test_the_latest_test_counts(tmp_path: Path) -> None:
    hours = {"training_seconds": 7200.0}
    old = record("a", {"semantic/mIoU": {"value": 0.9}}, id="20261121_090000-test-1", cost=hours)
    new = old | {
        "id": "20261121_100000-test-2",
        "finished": "2026-11-21T10:00:00+00:00",
        "metrics": {"semantic/mIoU": {"value": 0.4}},
    }
    training = record("a", {}, id="20261121_080000-train-3", mode="train", seed=0)
    for content in (new, old, training):
        write_run(tmp_path / "run", content)
    records, _ = load_records([tmp_path])
    (run,) = latest_runs(records)
    assert run.record.id.endswith("test-2")
    assert run.seed == 0 and run.cost("training_seconds") == 7200.0
    made = build_tables(records)
    assert "| 120.0 |" in to_markdown(made)
    assert len(json.loads(tables_json(made, records, []))["records"]) == 3


def test_runs_that_others_replace_are_said(tmp_path: Path) -> None:
    content = record("a", {"semantic/mIoU": {"value": 0.9}}, id="20261121_090000-test-1")
    write_run(tmp_path / "first", content)
    later = {"finished": "2026-11-22T09:00:00+00:00", "id": "20261122_090000-test-2"}
    write_run(tmp_path / "second", content | later | {"metrics": {"semantic/mIoU": {"value": 0.4}}})
    (table,) = tables(tmp_path)
    assert table.rows[0].summary("semantic/mIoU").value == 0.4
    assert "a, seed 0: the latest of 2 run folders counts." in to_markdown([table])


def test_weights_of_other_training_options_are_another_row(tmp_path: Path) -> None:
    for name, trained in (("a", "1" * 64), ("b", "2" * 64)):
        checkpoint = {"file": f"{name}.pth", "sha256": None, "config_hash": trained}
        plain_run(tmp_path / name, "same", 0.5, seed=0, checkpoint=checkpoint)
    (table,) = tables(tmp_path)
    assert [len(row.runs) for row in table.rows] == [1, 1]


@pytest.mark.parametrize("mode", ["test", "train"])
def test_starting_weights_make_another_row(tmp_path: Path, mode: str) -> None:
    changes = {"mode": mode, "id": f"20261121_080000-{mode}-1"}
    for seed in (0, 1):
        plain_run(tmp_path / "scratch", "same", 0.5, seed, **changes, config={"init": None})
        plain_run(tmp_path / "tuned", "same", 0.6, seed, **changes, config={"init": "1" * 64})
    (table,) = tables(tmp_path)
    assert [[run.seed for run in row.runs] for row in table.rows] == [[0, 1], [0, 1]]


def test_a_training_without_a_test_is_ranked_by_its_validation(tmp_path: Path) -> None:
    plain_run(tmp_path, "a", 0.5, mode="train", id="20261121_080000-train-1")
    (table,) = tables(tmp_path)
    assert table.rows[0].rank == 1


def _checkpoint(trained: str | None, sha256: str = "0" * 64) -> dict:
    return {"file": "/runs/x.pth", "sha256": sha256, "config_hash": trained}


def _write(folder: Path, hour: int, value: float, mode: str = "test", **changes: object) -> None:
    time = {"id": f"20261121_{hour:02d}0000-{mode}-1", "finished": f"2026-11-21T{hour:02d}:00:00"}
    content = record("a", {"semantic/mIoU": {"value": value}}, mode=mode, **time, **changes)
    write_run(folder, content)


def test_trainings_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    for seed in (0, 1):
        _write(tmp_path / "run", 8 + 2 * seed, 0.3, "train", seed=seed)
        _write(tmp_path / "run", 9 + 2 * seed, 0.5 + seed / 10, seed=seed)
    (table,) = tables(tmp_path)
    assert [row.seeds for row in table.rows] == [[0, 1]]
    assert table.rows[0].summary("semantic/mIoU").value == pytest.approx(0.55)


def test_configs_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    for index, trained in enumerate(("1" * 64, "2" * 64)):
        options = {"checkpoint": _checkpoint(trained), "config": {"hash": trained}}
        _write(tmp_path / "run", 8 + 2 * index, 0.3, "train", **options)
        # The config of the test has another hash, which does not matter.
        options["config"] = {"hash": f"{index}" * 64}
        _write(tmp_path / "run", 9 + 2 * index, 0.5, **options)
    (table,) = tables(tmp_path)
    assert [row.seeds for row in table.rows] == [[0], [0]]


def test_seeds_trained_alike_share_a_row_however_they_were_tested(tmp_path: Path) -> None:
    for seed in (0, 1):
        options = {"checkpoint": _checkpoint("1" * 64), "config": {"hash": f"{seed}" * 64}}
        _write(tmp_path / str(seed), 9, 0.5, seed=seed, **options)
    (table,) = tables(tmp_path)
    assert [row.seeds for row in table.rows] == [[0, 1]]


def test_containers_with_equal_paths_stay_apart_in_a_results_folder(tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = tmp_path / f"container{seed}"
        place = {"work_dir": "/workspace/work_dirs/unet", "seed": seed}
        _write(folder, 8, 0.3, "train", **place)
        _write(folder, 9, 0.5, checkpoint=_checkpoint("hash of a"), **place)
        run_append([str(folder)], str(tmp_path / "results"))
    (table,) = tables(tmp_path / "results")
    assert [row.seeds for row in table.rows] == [[0, 1]]


def test_foreign_weights_take_nothing_from_a_training_beside_them(tmp_path: Path) -> None:
    time = {"cost": {"training_seconds": 60.0}}
    _write(tmp_path / "run", 8, 0.3, "train", checkpoint=_checkpoint("1" * 64), **time)
    for hour, content in ((9, "2" * 64), (10, "3" * 64)):
        zoo = {"checkpoint": _checkpoint(None, content), "config": {"hash": None}}
        _write(tmp_path / "run", hour, 0.7, seed=None, **zoo)
    (table,) = tables(tmp_path)
    assert [row.seeds for row in table.rows] == [[None], [None], [0]]
    assert [row.cost("training_seconds") for row in table.rows] == [None, None, 60.0]


SEMANTIC = {"type": "SemanticMetric", "prefix": "semantic", "settings": {"void": 255}}
BOUNDARY = {"type": "BoundaryMetric", "prefix": "boundary", "settings": {}}


@pytest.mark.parametrize("hashes", [("1" * 64, "2" * 64), ("1" * 64, "1" * 64), (None, None)])
def test_with_a_metric_a_run_counts_once_whatever_else_was_measured(
    tmp_path: Path, hashes: tuple[str | None, str | None]
) -> None:
    for index, evaluators in enumerate(([SEMANTIC], [SEMANTIC, BOUNDARY])):
        options = {"evaluators": evaluators, "config": {"hash": hashes[index]}}
        _write(tmp_path, 9 + index, 0.5 + index, checkpoint=_checkpoint("3" * 64), **options)
    (table,) = tables(tmp_path, metrics=["mIoU"])
    assert [row.seeds for row in table.rows] == [[0]]
    assert table.rows[0].summary("semantic/mIoU").value == 1.5
    assert len(tables(tmp_path)) == 2


def test_with_a_metric_seeds_may_differ_in_what_else_was_measured(tmp_path: Path) -> None:
    for seed, evaluators in enumerate(([SEMANTIC], [SEMANTIC, BOUNDARY])):
        options = {"evaluators": evaluators, "config": {"hash": f"{seed}" * 64}, "seed": seed}
        _write(tmp_path / str(seed), 9, 0.5, checkpoint=_checkpoint("3" * 64), **options)
    (table,) = tables(tmp_path, metrics=["mIoU"])
    assert [(row.seeds, row.missing) for row in table.rows] == [([0, 1], [])]


def test_a_later_test_without_the_metric_replaces_nothing(tmp_path: Path) -> None:
    _write(tmp_path, 9, 0.5, evaluators=None)
    content = record("a", {"boundary/mHD": {"value": 3.0}}, evaluators=None)
    write_run(tmp_path, content | {"id": "20261121_100000-test-1", "finished": "2026-11-21T10:00"})
    (table,) = tables(tmp_path, metrics=["mIoU"])
    assert [row.rank for row in table.rows] == [1] and not table.notes


def test_with_a_metric_of_one_of_several_data_sets_its_settings_count(tmp_path: Path) -> None:
    for index, name in enumerate("ab"):
        evaluators = [{"type": "CocoMetric", "prefix": "coco", "settings": {"most": index}}]
        metrics = {"lol/coco/bbox_mAP": {"value": 0.5}}
        write_run(tmp_path / name, record(name, metrics, evaluators=evaluators))
    assert len(tables(tmp_path, metrics=["lol/coco/bbox_mAP"])) == 2


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"d": 1}, {"d": 1.0}, None),
        ({"d": [{"e": 2.0}]}, {"d": [{"e": 2}]}, None),
        ({"d": 1}, {"d": True}, "M's d 1 and true"),
        ({"d": "1"}, {"d": 1}, 'M\'s d "1" and 1'),
        ({}, None, "M's settings {} and unknown"),
        ({}, {"d": None}, "M's d unknown and none"),
        ({"d": None}, {"d": "x"}, "M's d none and x"),
    ],
)
def test_tables_are_split_with_a_reason_or_not_at_all(
    tmp_path: Path, a: dict | None, b: dict | None, words: str | None
) -> None:
    for name, settings in (("a", a), ("b", b)):
        evaluators = [{"type": "M", "prefix": "semantic", "settings": settings}]
        plain_run(tmp_path, name, 0.5, evaluators=evaluators)
    made = tables(tmp_path)
    if words is None:
        assert len(made) == 1
    else:
        assert made[1].differs == [words]


def test_what_differs_beyond_types_and_settings_is_still_said() -> None:
    one = {"evaluators": [{"type": "M"}]}
    two = {"evaluators": [{"type": "M"}, {"type": "M"}]}
    assert canonical(one) != canonical(two)
    (text,) = describe_differences(one, two)
    assert text == 'evaluators [{"type": "M"}] and [{"type": "M"}, {"type": "M"}]'


def test_rows_of_one_config_tell_what_differs(tmp_path: Path) -> None:
    for name, trained, init in (
        ("a", "1" * 64, None),
        ("b", "2" * 64, None),
        ("c", "1" * 64, "f" * 64),
    ):
        checkpoint = {"file": f"{name}.pth", "sha256": None, "config_hash": trained}
        config = {"file": "same.py", "hash": "1" * 64, "init": init}
        metrics = {"semantic/mIoU": {"value": 0.5}}
        content = record("same", metrics, id=f"20261121_090000-test-{name}", checkpoint=checkpoint)
        write_run(tmp_path / name, content | {"config": config})
    write_run(tmp_path / "d", record("other", metrics, id="20261121_090000-test-d"))
    (table,) = tables(tmp_path)
    assert {row.name for row in table.rows} == {
        "same (options 1111111, from scratch)",
        "same (options 2222222, from scratch)",
        "same (options 1111111, from ffffffffffff)",
        "other",
    }
