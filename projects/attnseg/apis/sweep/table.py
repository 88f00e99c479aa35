"""A sweep's table: our finished runs, and beside them what the paper reports."""

from collections.abc import Sequence
from pathlib import Path

from attnseg._atomic import write_text
from attnseg.apis.sweep.paper import Paper, PaperRow
from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.state import State, counts
from attnseg.apis.sweep.sweep_file import Sweep
from attnseg.leaderboard.cells import Cell, CellTable, build_cells
from attnseg.leaderboard.cells_text import cells_csv, cells_json, cells_markdown
from attnseg.leaderboard.groups import Reference
from attnseg.leaderboard.page import build_page
from attnseg.leaderboard.records import load_records

NAMES = ("table.md", "table.csv", "table.json", "page.html")
_SMALL = (
    "Small form: data and length of the training differ from the paper's. The rows show that the "
    "sweep runs; they neither confirm nor contradict its figures."
)


def sweep_table(sweep: Sweep, runs: Sequence[Run], states: Sequence[State]) -> CellTable:
    """The table of a sweep's finished runs.

    Args:
        sweep: The file's content.
        runs: All runs of its plan, in its order.
        states: Of each.
    """
    axes = [axis.name for axis in sweep.axes] or ["run"]
    cells = []
    per_cell = len(sweep.seeds)
    for start in range(0, len(runs), per_cell):
        mine, found = runs[start : start + per_cell], states[start : start + per_cell]
        where = dict(zip(axes, mine[0].labels, strict=False))
        cells.append(
            Cell(
                labels=mine[0].labels or (mine[0].config.stem,),
                seeds=sweep.seeds,
                records=[r for pair in zip(mine, found, strict=True) for r in _records(*pair)],
                reference=_figures(sweep.paper, where),
                note="" if any(s.name == "done" for s in found) else f"none yet: {counts(found)}",
            )
        )
    if sweep.paper:
        cells += _only_in_paper(sweep, axes)
    above = [_SMALL] if sweep.small else []
    return build_cells(sweep.title, axes, cells, sweep.columns, _reference(sweep), above)


def write_table(table: CellTable, folder: Path) -> list[Path]:
    """Write ``table.md``, ``table.csv``, ``table.json`` and, once a run is finished, ``page.html``.

    Raises:
        OSError: The folder cannot be written.
    """
    contents = {
        "table.md": cells_markdown(table),
        "table.csv": cells_csv(table),
        "table.json": cells_json(table),
    }
    if table.kinds:
        contents["page.html"] = build_page(table.kinds, title=table.title).html
    for name, text in contents.items():
        write_text(folder / name, text)
    return [folder / name for name in contents]


def _records(run: Run, state: State) -> list[object]:
    """All records of a finished run: its own, and tests of its weights that lie in its folder."""
    if state.name != "done":
        return []
    records, _ = load_records([run.folder])
    return [record for record in records if record.seed == run.seed]


def _reference(sweep: Sweep) -> Reference | None:
    paper = sweep.paper
    return Reference(paper.source, paper.unit, paper.keys) if paper and paper.keys else None


def _figures(paper: Paper | None, where: dict[str, str]) -> dict[str, float]:
    """What the paper reports of a cell; a later row wins over an earlier one."""
    figures: dict[str, float] = {}
    for row in paper.rows if paper else ():
        if not row.label and row.where.items() <= where.items():
            figures |= row.values
    return figures


def _only_in_paper(sweep: Sweep, axes: Sequence[str]) -> list[Cell]:
    """Rows of the paper that no cell of ours stands for, and methods without a row."""
    paper, cells = sweep.paper, []
    ours = [dict(zip(axes, cell.labels, strict=False)) for cell in sweep.cells()]
    named = {row.label for row in paper.rows}
    rows = [
        *paper.rows,
        *(PaperRow({}, name, {}) for name in paper.unavailable if name not in named),
    ]
    for row in rows:
        if row.label:
            labels = (row.label, *[""] * (len(axes) - 1))
            reason = paper.unavailable.get(row.label)
            note = f"not run here: {reason}" if reason else "not run here"
        elif any(row.where.items() <= where.items() for where in ours):
            continue
        else:
            labels = tuple(row.where.get(axis, "") for axis in axes)
            # The paper's axes may not be those of the small form.
            rest = [text for axis, text in row.where.items() if axis not in axes]
            labels = labels if any(labels) else (", ".join(rest), *labels[1:])
            note = "not in the small form"
        cells.append(Cell(labels, reference=row.values, note=note))
    return cells
