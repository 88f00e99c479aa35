"""Which metrics are shown, which direction is better, and how a metric may be named."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError
from attnseg.apis.leaderboard import run_collect, run_page
from attnseg.leaderboard.columns import default_keys, lower_is_better, with_prefix
from attnseg.leaderboard.compare import compare
from attnseg.leaderboard.groups import build_tables
from attnseg.leaderboard.records import load_records, read_record
from attnseg.leaderboard.text import to_markdown
from tests.leaderboard.factory import plain_run, record, write_run


@pytest.mark.parametrize(
    ("key", "prefixes", "lower"),
    [
        ("boundary/mHD95", ["boundary"], True),
        ("boundary/HD/road", ["boundary"], True),
        ("boundary/mASD", [], True),
        ("surface_distance", [None], True),
        ("semantic/mIoU", ["semantic"], False),
        ("panoptic/PQ_st", ["panoptic"], False),
        ("coco/AP/hausdorff", ["coco"], False),
        ("cell/F1@0.5", [], False),
        ("refine/Hausdorff", ["refine"], True),
        ("refine/coarse_HD95", ["refine"], True),
        # By how much a distance is better.
        ("refine/gain_HD95", ["refine"], False),
        ("refine/ContourIoU", ["refine"], False),
        # Names of prefixes and classes say nothing.
        ("mae/mIoU", ["mae"], False),
        ("hd/AP", ["hd"], False),
        ("error/PQ", [], False),
        ("IoU/error", [""], False),
        ("val/mae/mIoU", ["mae"], False),
        ("val/boundary/mHD95", ["boundary"], True),
        # All of mmseg's DepthMetric but the thresholds d1, d2 and d3.
        ("abs_rel", [""], True),
        ("sq_rel", [""], True),
        ("rmse_log", [""], True),
        ("log10", [""], True),
        ("silog", [""], True),
        ("d1", [""], False),
        ("size/training_mib", ["semantic"], True),
        # Beside a metric without a prefix, such as val_loss.
        ("size/training_mib", ["refine", ""], True),
    ],
)
def test_direction_follows_from_the_name(
    key: str, prefixes: Sequence[str | None], lower: bool
) -> None:
    assert lower_is_better(key, prefixes) is lower


@pytest.mark.parametrize(
    ("evaluators", "keys", "shown"),
    [
        (None, ["semantic/IoU/road", "semantic/mIoU"], ["semantic/mIoU"]),
        (None, ["mIoU", "IoU/road"], ["mIoU"]),
        ([{"type": "CocoMetric", "prefix": "coco"}], ["lol/coco/bbox_mAP"], ["lol/coco/bbox_mAP"]),
        (
            [{"type": "CocoMetric", "prefix": "coco"}],
            ["lol/coco/AP", "lol/coco/AP/person"],
            ["lol/coco/AP"],
        ),
        ([{"type": "Mine", "prefix": ""}], ["lol/mIoU"], ["lol/mIoU"]),
        (
            [{"type": "SemanticMetric", "prefix": "semantic"}],
            ["semantic/IoU/road"],
            ["semantic/IoU/road"],
        ),
    ],
)
def test_every_record_has_a_column(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    evaluators: list | None,
    keys: list[str],
    shown: list[str],
) -> None:
    content = record("a", {key: {"value": 0.5} for key in keys}, evaluators=evaluators)
    file = write_run(tmp_path / "a", content)
    assert default_keys(read_record(file)) == shown
    run_collect([str(tmp_path)])
    head = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| #"))
    assert all(f"| {key} ↑ |" in head for key in shown)
    run_page([str(tmp_path)], str(tmp_path / "page.html"))
    assert shown[0] in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("evaluators", "prefix"),
    [(None, "semantic/"), ([{"type": "CocoMetric", "prefix": "coco"}], "lol/coco/"), (None, "")],
)
def test_the_page_groups_classes_also_of_unknown_prefixes(
    tmp_path: Path, evaluators: list | None, prefix: str
) -> None:
    keys = [f"{prefix}{name}" for name in ("mIoU", "IoU/road", "IoU/sky")]
    content = record("a", {key: {"value": 0.5} for key in keys}, evaluators=evaluators)
    write_run(tmp_path / "a", content)
    run_page([str(tmp_path)], str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text()
    assert f'"key":"{prefix}IoU","lower":false,"percent":true,' in text
    assert '"classes":["road","sky"]' in text


def test_each_evaluator_shows_its_first_metrics_in_its_order(tmp_path: Path) -> None:
    keys = [f"{prefix}/{name}" for prefix in ("b", "a") for name in ("w", "x", "y", "z")]
    metrics = {key: {"value": 0.5} for key in keys}
    evaluators = [{"type": "A", "prefix": "a"}, {"type": "B", "prefix": "b"}]
    read = read_record(write_run(tmp_path, record("a", metrics, evaluators=evaluators)))
    assert default_keys(read) == ["a/w", "a/x", "a/y", "b/w", "b/x", "b/y"]


def test_what_the_input_has_wins_nothing_and_losses_are_no_distances(tmp_path: Path) -> None:
    names = ["IoU", "coarse_IoU", "HD95", "coarse_HD95", "loss_bce", "gain_HD95"]
    for run, value in (("a", 0.25), ("b", 0.5)):
        metrics = {f"refine/{name}": {"value": value} for name in names}
        evaluators = [{"type": "attnseg.RefinementMetric", "prefix": "refine", "settings": {}}]
        write_run(tmp_path / run, record(run, metrics, evaluators=evaluators))
    records, _ = load_records([tmp_path])
    (table,) = build_tables(records, metrics=names)
    text = to_markdown([table])
    assert "refine/IoU ↑ | refine/coarse_IoU | refine/HD95 ↓ | refine/coarse_HD95 |" in text
    assert "| **50.00** | 50.00 | 0.50 | 0.50 | 0.50 | **0.50** |" in text
    assert "| 25.00 | 25.00 | **0.25** | 0.25 | **0.25** | 0.25 |" in text
    assert "refine/HD95, refine/coarse_HD95, refine/gain_HD95 in pixels, rounded." in text
    assert "refine/loss_bce as reported, rounded." in text
    lines = compare(*records).lines
    assert [line.column.key for line in lines] == [
        f"refine/{name}" for name in names if not name.startswith("coarse_")
    ]
    lines = compare(*records, metrics=["coarse_IoU"]).lines
    assert [line.column.key for line in lines] == ["refine/coarse_IoU"]


def test_unknown_metrics_are_named(tmp_path: Path) -> None:
    plain_run(tmp_path, "a", 0.5)
    with pytest.raises(UsageError, match="no run has the metric 'PQ'; there are: semantic/mIoU"):
        run_collect([str(tmp_path)], metrics=["PQ"])


def test_a_short_name_never_drops_runs_silently(tmp_path: Path) -> None:
    for name in ("a", "b"):
        plain_run(tmp_path, name, 0.5)
    evaluators = [{"type": "mmseg.IoUMetric", "prefix": "", "settings": {}}]
    write_run(tmp_path / "peer", record("peer", {"mIoU": {"value": 90.0}}, evaluators=evaluators))
    records, _ = load_records([tmp_path])
    with pytest.raises(ValueError, match="'mIoU' is ambiguous: .*; '/mIoU' is that without"):
        build_tables(records, metrics=["mIoU"])
    (table,) = build_tables(records, metrics=["/mIoU"])
    assert [row.name for row in table.rows] == ["peer"]
    assert "Without mIoU, and so in no table: 2 runs (a, b)." in to_markdown([table])
    (table,) = build_tables(records, metrics=["semantic/mIoU"])
    assert [row.name for row in table.rows] == ["a", "b"]
    assert "Without semantic/mIoU, and so in no table: 1 run (peer)." in to_markdown([table])


def test_keys_may_be_short_where_one_metric_has_the_name() -> None:
    keys = ["semantic/mIoU", "semantic/IoU/road", "boundary/IoU/road"]
    assert with_prefix("mIoU", keys) == with_prefix("semantic/mIoU", keys) == keys[0]
    with pytest.raises(ValueError, match="ambiguous: semantic/IoU/road, boundary/IoU/road\\.$"):
        with_prefix("IoU/road", keys)


def test_exponents_are_no_fractions_and_win_nothing(tmp_path: Path) -> None:
    names = ["hurst_att1", "dfa_att1", "beta_att1", "F_beta"]
    metrics = {f"dependency/{name}": {"value": 0.5113} for name in names}
    write_run(tmp_path, record("a", metrics))
    records, _ = load_records([tmp_path])
    (table,) = build_tables(records, metrics=names)
    assert "| 0.51 | 0.51 | 0.51 | 51.13 |" in to_markdown([table]).replace("*", "")
    assert [column.ranked for column in table.columns] == [False, False, False, True]
