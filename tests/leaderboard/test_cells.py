"""Tables of sweeps: in the axes' order, with the figures of others apart from ours."""

import csv
import io
import json
from pathlib import Path

import pytest

from attnseg.leaderboard.cells import Cell, CellTable, bounds_of, build_cells, mean_interval
from attnseg.leaderboard.cells_text import cells_csv, cells_json, cells_markdown
from attnseg.leaderboard.groups import Reference
from attnseg.leaderboard.page import build_page
from attnseg.leaderboard.records import Record, load_records
from tests.leaderboard.factory import measured_run

KEY = "semantic/mIoU"
TITLE = f"{KEY} (%), paper: Table 4, not ours"


def _records(*files: Path) -> list[Record]:
    return load_records(files)[0]


@pytest.fixture
def table(tmp_path: Path) -> CellTable:
    weak = [measured_run(tmp_path, "weak", 0.5, seed) for seed in (0, 1, 2)]
    strong = measured_run(tmp_path, "strong", 0.8, 1)
    cells = [
        Cell(("weak", "1"), (0, 1, 2), _records(*weak), {KEY: 47.25}),
        Cell(("strong", "1"), (0, 1), _records(strong)),
        Cell(("none", "1"), (0, 1), note="none yet: 2 waiting"),
        Cell(("YOLO | v9", ""), reference={KEY: 12}, note="not run here: external"),
    ]
    reference = Reference("Table 4", "%", [KEY])
    return build_cells("Sweep", ["variant", "x"], cells, [KEY], reference, ["Small form."])


def test_markdown_keeps_the_order_and_names_what_is_missing(table: CellTable) -> None:
    lines = cells_markdown(table).splitlines()
    assert lines[0] == "## Sweep" and lines[2] == "Small form."
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert rows[0] == ["variant", "x", "Seeds", f"{KEY} ↑", TITLE]
    assert [row[0] for row in rows[1:]] == ["weak", "strong", "none", "YOLO \\| v9"]
    assert rows[1][2] == "0, 1, 2 (n=3)" and rows[1][4] == "47.25"
    assert rows[2][2] == "1 (n=1 of 2, missing 0)" and rows[2][4] == "–"
    assert rows[3][2:] == ["none yet: 2 waiting", "–", "–"]
    assert rows[4][1:] == ["–", "not run here: external", "–", "12"]
    weak = table.rows[0].row
    low, high = bounds_of(weak, KEY)
    mean = weak.summary(KEY).value
    assert rows[1][3].startswith(f"{mean * 100:.2f} ± ")
    assert rows[1][3].endswith(f"(3) [{low * 100:.2f}, {high * 100:.2f}]")


def test_the_papers_figures_are_in_no_column_of_ours(table: CellTable) -> None:
    lines = list(csv.DictReader(io.StringIO(cells_csv(table))))
    assert [line[TITLE] for line in lines] == ["47.25", "", "", "12"]
    assert lines[3][KEY] == "" and lines[2]["note"] == "none yet: 2 waiting"
    assert float(lines[0][KEY]) == table.rows[0].row.summary(KEY).value
    content = json.loads(cells_json(table))
    assert content["rows"][0]["labels"] == {"variant": "weak", "x": "1"}
    assert content["rows"][0]["paper"] == {KEY: 47.25}
    assert content["rows"][3]["metrics"][KEY]["value"] is None
    assert content["rows"][1]["missing"] == [0]


def test_rows_that_were_measured_otherwise_are_marked(tmp_path: Path) -> None:
    one = measured_run(tmp_path, "one", 0.5)
    other = measured_run(tmp_path, "other", 0.5, data={"hash": "b" * 64, "images": 41})
    cells = [Cell(("one",), (0,), _records(one)), Cell(("other",), (0,), _records(other))]
    table = build_cells("Sweep", ["data"], cells, [KEY])
    text = cells_markdown(table)
    assert "| one | 0 | A |" in text and "| other | 0 | B |" in text
    assert "do not compare" in text
    assert table.kinds[1].differs and not table.kinds[0].differs


def test_a_column_that_no_run_has_is_named_with_the_nearest(tmp_path: Path) -> None:
    cells = [Cell(("a",), (0,), _records(measured_run(tmp_path, "a", 0.5)))]
    table = build_cells("Sweep", ["x"], cells, [KEY, "semantic/mIuo"])
    assert "No finished run has the metric semantic/mIuo; there is semantic/mIoU." in table.notes
    assert "n/a" in cells_markdown(table)


def test_a_sweep_without_runs_has_a_table_and_no_page() -> None:
    table = build_cells("Sweep", ["x"], [Cell(("a",), (0, 1), note="none yet: 2 waiting")], [KEY])
    assert not table.kinds
    assert "| a | none yet: 2 waiting | – |" in cells_markdown(table)


def test_the_interval_of_a_mean_is_students() -> None:
    low, high = mean_interval([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.302653, standard error 1 / sqrt(3).
    assert (low, high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-5)
    assert mean_interval([1.0, float("nan")])[0] != mean_interval([1.0])[0]


def test_the_page_holds_rows_without_runs(table: CellTable) -> None:
    html = build_page(table.kinds, title=table.title).html
    start = html.index('id="data">') + len('id="data">')
    content = json.loads(html[start : html.index("</script>", start)])
    assert [row["labels"][0] for row in content["rows"]] == ["weak", "strong", "none", "YOLO | v9"]
    assert [row["n"] for row in content["rows"]] == [3, 1, 0, 0]
    assert content["tables"][0]["reference"] == [{"key": KEY, "title": TITLE}]
    assert KEY not in content["rows"][3]["metrics"]
