"""What a record says of evaluators, ours and foreign ones."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attnseg.engine.evaluators import describe_evaluators, measured, metric_configs, tables_of
from attnseg.evaluation.bootstrap import Interval
from attnseg.per_image import PerImageTable


class Foreign:
    prefix = None

    def __init__(self, found: Any = None) -> None:
        self.found = found

    def intervals(self, *args: object) -> Any:
        return self.found


A, B = {"type": "Foreign", "limit": 1}, {"type": "mmdet.Foreign", "limit": 2}


@pytest.mark.parametrize(
    "form",
    [
        [A, B],
        (A, B),
        {"metrics": [A, B]},
        {"type": "mmdet.MultiDatasetsEvaluator", "metrics": (A, B), "dataset_prefixes": ["x"]},
    ],
)
def test_each_form_of_a_runner_names_its_metrics(form: Any) -> None:
    assert metric_configs(form) == [A, B]
    found = describe_evaluators([Foreign(), Foreign()], form)
    assert [(e["type"], e["settings"]) for e in found] == [
        ("Foreign", {"limit": 1}),
        ("Foreign", {"limit": 2}),
    ]


@pytest.mark.parametrize("form", [A, {"metrics": A}, {"metrics": [A]}])
def test_one_metric_needs_no_list(form: Any) -> None:
    assert metric_configs(form) == [A]
    assert describe_evaluators([Foreign()], form)[0]["settings"] == {"limit": 1}


def test_metrics_passed_as_objects_have_no_config() -> None:
    (found,) = describe_evaluators([Foreign()], {"metrics": [Foreign()]})
    assert (found["type"], found["settings"]) == ("Foreign", {})
    assert describe_evaluators([], None) == []


def test_a_foreign_table_is_none_of_ours() -> None:
    own = PerImageTable("Own", "own", {}, ("a",), ())
    assert tables_of([SimpleNamespace(table=value) for value in ("text", [1], own, None)]) == [own]


@pytest.mark.parametrize(
    "found", [[1, 2], 3, {"score": (0.1, 0.2)}, {"score": SimpleNamespace(value=1, low="x")}]
)
def test_intervals_of_another_form_are_left_out(
    found: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good = Foreign({"other": Interval(0.5, 0.25, 0.75)})
    with caplog.at_level(logging.WARNING):
        rows, how = measured({"score": 1.0}, [Foreign(found), good], 10, 0.9)
    assert rows == {
        "score": {"value": 1.0, "low": None, "high": None},
        "other": {"value": 0.5, "low": 0.25, "high": 0.75},
    }
    assert how["level"] == 0.9
    assert measured({"score": 1.0}, [Foreign(found)], 10, 0.9)[1] is None


def test_truth_in_png_files_is_hashed_too(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "p.json").write_text("{}")
    found = []
    config = {"ann_file": str(tmp_path / "p.json"), "seg_prefix": str(tmp_path / "maps")}
    for content in (b"a", b"b", b"a"):
        (tmp_path / "maps" / "1.png").write_bytes(content)
        (described,) = describe_evaluators([SimpleNamespace(settings={})], config)
        found.append(described["annotations"])
    assert found[0] == found[2] != found[1]
