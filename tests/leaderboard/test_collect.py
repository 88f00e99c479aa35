"""What is ranked with what, and how it reads."""

import csv
import json
import math
from pathlib import Path
from statistics import fmean, stdev

import pytest

from attnseg.leaderboard.export import table_csv, tables_json
from attnseg.leaderboard.groups import Table, build_tables
from attnseg.leaderboard.records import load_records
from attnseg.leaderboard.text import to_latex, to_markdown
from tests.leaderboard.factory import measured_run, plain_run, record, write_run


def tables(folder: Path, **options: object) -> list[Table]:
    return build_tables(load_records([folder])[0], **options)


def test_seeds_become_mean_and_sample_deviation(tmp_path: Path) -> None:
    values = {0: 0.5, 1: 0.53, 2: 0.59}
    for seed, value in values.items():
        plain_run(tmp_path, "a", value, seed)
    plain_run(tmp_path, "b", 0.52, 1)
    (table,) = tables(tmp_path)
    a, b = table.rows
    found = a.summary("semantic/mIoU")
    assert (a.name, a.seeds, a.missing, found.n) == ("a", [0, 1, 2], [], 3)
    assert found.value == fmean(values.values()) and found.sd == stdev(values.values())
    assert (b.missing, b.rank) == ([0, 2], 2)
    text = to_markdown([table])
    assert "54.00 ± 4.58 (3)" in text
    assert "1 (n=1 of 3, missing 0, 2)" in text


def test_expected_seeds_can_be_given(tmp_path: Path) -> None:
    plain_run(tmp_path, "a", 0.5, 0)
    plain_run(tmp_path, "a", 0.6, 1)
    plain_run(tmp_path, "unknown", 0.4, None)
    (table,) = tables(tmp_path, seeds=[0, 1, 2])
    assert [row.missing for row in table.rows] == [[2], [0, 1, 2]]
    assert [row.missing for row in tables(tmp_path)[0].rows] == [[], []]
    assert "unknown (n=1 of 4, missing 0, 1, 2)" in to_markdown([table])


def test_runs_without_seed_are_never_averaged(tmp_path: Path) -> None:
    content = record("a", {"semantic/mIoU": {"value": 0.5}}, seed=None)
    for index in range(2):
        write_run(tmp_path / str(index), content | {"id": f"t-test-{index}"})
    (table,) = tables(tmp_path)
    assert [len(row.runs) for row in table.rows] == [1, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"split": "test"}}, "split val and test"),
        ({"data": {"hash": "b" * 64}}, "annotation hash aaaaaaaaaaaa and bbbbbbbbbbbb"),
        ({"data": {"hash": None}}, "annotation hash aaaaaaaaaaaa and unknown"),
        ({"data": {"images": 39}}, "images 40 and 39"),
        ({"data": {"things": ["sky"]}}, 'things unknown and ["sky"]'),
        (
            {
                "evaluators": [
                    {
                        "type": "SemanticMetric",
                        "prefix": "semantic",
                        "settings": {"void": 0, "ignore_index": None},
                    }
                ]
            },
            "SemanticMetric's void 255 and 0",
        ),
        (
            {"evaluators": [{"type": "mmseg.IoUMetric", "prefix": "semantic"}]},
            "evaluators SemanticMetric and mmseg.IoUMetric",
        ),
    ],
)
def test_other_measurements_are_never_ranked_together(
    tmp_path: Path, changes: dict, words: str
) -> None:
    for name in ("a", "b"):
        plain_run(tmp_path, name, 0.5)
    plain_run(tmp_path, "other", 0.9, **changes)
    first, second = tables(tmp_path)
    assert {row.name for row in first.rows} == {"a", "b"}
    assert [row.name for row in second.rows] == ["other"]
    assert words in "; ".join(second.differs)
    text = to_markdown([first, second])
    assert "2 tables: runs that were measured differently are not ranked together." in text
    assert words in text
    assert "measured differently" in to_latex([first, second])


def test_with_a_metric_only_its_evaluators_must_agree(tmp_path: Path) -> None:
    plain_run(tmp_path, "a", 0.5)
    two = [
        record("x", {})["evaluators"][0],
        {"type": "BoundaryMetric", "prefix": "boundary", "settings": {}},
    ]
    plain_run(tmp_path, "b", 0.6, evaluators=two)
    assert len(tables(tmp_path)) == 2
    (table,) = tables(tmp_path, metrics=["mIoU"])
    assert [row.name for row in table.rows] == ["b", "a"]


def test_undefined_values_rank_last_without_a_number(tmp_path: Path) -> None:
    plain_run(tmp_path, "null", None)
    plain_run(tmp_path, "nan", math.nan)
    plain_run(tmp_path, "a", 0.1)
    (table,) = tables(tmp_path)
    assert [(row.name, row.rank) for row in table.rows] == [("a", 1), ("nan", None), ("null", None)]
    assert to_markdown([table]).count("n/a") == 2
    lines = list(csv.DictReader(table_csv([table]).splitlines()))
    assert [line["semantic/mIoU"] for line in lines] == ["0.1", "", ""]


def test_distances_rank_upwards_and_are_no_percents(tmp_path: Path) -> None:
    for name, value in (("near", 0.25), ("far", 12.5)):
        metrics = {"boundary/mHD95": {"value": value, "low": value / 2, "high": value * 2}}
        evaluators = [{"type": "BoundaryMetric", "prefix": "boundary", "settings": {}}]
        write_run(tmp_path / name, record(name, metrics, evaluators=evaluators))
    (table,) = tables(tmp_path)
    assert [row.name for row in table.rows] == ["near", "far"]
    text = to_markdown([table])
    assert "boundary/mHD95 ↓" in text and "**0.25 [0.12, 0.50]**" in text


def test_percents_of_foreign_metrics_stay(tmp_path: Path) -> None:
    evaluators = [{"type": "mmseg.IoUMetric", "prefix": "", "settings": {}}]
    content = record("a", {"mIoU": {"value": 0.9}}, evaluators=evaluators)
    write_run(tmp_path / "a", content)
    text = to_markdown(tables(tmp_path))
    assert "**0.90**" in text and "mIoU as reported" in text


def test_files_are_unrounded(tmp_path: Path) -> None:
    measured_run(tmp_path, "a", 0.7)
    records, problems = load_records([tmp_path])
    made = build_tables(records)
    exact = records[0].metrics["semantic/mIoU"]
    (line,) = csv.DictReader(table_csv(made).splitlines())
    assert float(line["semantic/mIoU"]) == exact.value
    assert float(line["semantic/mIoU low"]) == exact.low
    content = json.loads(tables_json(made, records, problems))
    assert content["tables"][0]["rows"][0]["metrics"]["semantic/mIoU"]["value"] == exact.value


def test_names_are_escaped(tmp_path: Path) -> None:
    plain_run(tmp_path, "a|b_c & <script> 50% $x^2$ {y} #~\\", 0.5)
    made = tables(tmp_path)
    line = to_markdown(made).splitlines()[4]
    assert "a\\|b_c &amp; &lt;script&gt;" in line
    assert line.replace("\\|", "").count("|") == to_markdown(made).splitlines()[2].count("|")
    assert (
        r"a|b\_c \& \textless{}script\textgreater{} 50\% \$x\textasciicircum{}2\$ \{y\} "
        r"\#\textasciitilde{}\textbackslash{}"
    ) in to_latex(made)


def test_latencies_of_several_machines_are_said(tmp_path: Path) -> None:
    plain_run(tmp_path, "a", 0.5)
    plain_run(tmp_path, "b", 0.5, cost={"device": "cuda"})
    assert "Latencies were measured in 2 settings" in to_markdown(tables(tmp_path))


def test_a_drawn_seed_is_expected_of_nobody(tmp_path: Path) -> None:
    for seed in (0, 1):
        plain_run(tmp_path, "a", 0.5, seed=seed)
    plain_run(tmp_path, "peer", 0.4, seed=1387473244)
    (found,) = tables(tmp_path)
    assert [row.missing for row in found.rows] == [[], []]
