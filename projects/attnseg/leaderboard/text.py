"""Tables as Markdown and LaTeX: rounded, in percent where the values are fractions."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from attnseg.leaderboard.columns import Column
from attnseg.leaderboard.groups import Row, Summary, Table

MARK = "†"
_TEXTS = ("Run", "Seeds")
_COSTS = (
    ("Params (M)", "params", 1e-6, 2),
    ("MACs (G)", "macs", 1e-9, 2),
    ("p50 (ms)", "latency_ms_p50", 1.0, 1),
    ("Training (min)", "training_seconds", 1 / 60, 1),
)
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


class Cell(NamedTuple):
    """Text of a cell, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """A table ready to be set: headers, cells and the lines around it."""

    title: str
    above: list[str]
    headers: list[str]
    rows: list[list[Cell]]
    below: list[str]


def to_markdown(tables: Sequence[Table]) -> str:
    """Set tables in Markdown, one section each where there are several."""
    parts = [_separation(tables, markdown_text)] if len(tables) > 1 else []
    for number, table in enumerate(tables, 1):
        grid = _grid(table)
        parts.append(f"## Table {number}: {markdown_text(grid.title)}")
        parts += [markdown_text(line) for line in grid.above]
        head = "| " + " | ".join(map(markdown_text, grid.headers)) + " |"
        rule = "|" + "|".join("---" if name in _TEXTS else "--:" for name in grid.headers)
        lines = [head, rule + "|"]
        for row in grid.rows:
            cells = (
                f"**{markdown_text(c.text)}**" if c.best else markdown_text(c.text) for c in row
            )
            lines.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
        parts += [markdown_text(line) for line in grid.below]
    return "\n\n".join(parts) + "\n"


def to_latex(tables: Sequence[Table]) -> str:
    """Set tables in LaTeX; the preamble needs ``booktabs``."""
    parts = ["% needs \\usepackage{booktabs}"]
    if len(tables) > 1:
        parts.append("\n".join(f"% {line}" for line in _separation(tables, str).splitlines()))
    for table in tables:
        grid = _grid(table)
        align = "".join("l" if name in _TEXTS else "r" for name in grid.headers)
        lines = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{align}}}", r"\toprule"]
        lines += [" & ".join(map(_latex, grid.headers)) + r" \\", r"\midrule"]
        for row in grid.rows:
            cells = (rf"\textbf{{{_latex(c.text)}}}" if c.best else _latex(c.text) for c in row)
            lines.append(" & ".join(cells) + r" \\")
        caption = " ".join(_latex(_sentence(x)) for x in (grid.title, *grid.above, *grid.below))
        lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption}}}", r"\end{table}"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def seeds_text(row: Row) -> str:
    """Which seeds a row stands for, and which are missing."""
    known = [str(seed) for seed in row.seeds if seed is not None]
    have = ", ".join(known) or "unknown"
    if not row.missing:
        return have if len(row.runs) == 1 else f"{have} (n={len(row.runs)})"
    missing = ", ".join(map(str, row.missing))
    return f"{have} (n={len(row.runs)} of {row.expected}, missing {missing})"


def value_text(column: Column, found: Summary, row: Row) -> str:
    """A value with its interval, or a mean with its standard deviation and n."""
    if math.isnan(found.value):
        return "n/a"
    text = column.show(found.value)
    if len(row.runs) > 1:
        return f"{text} ± {column.show(found.sd)} ({found.n})"
    if math.isnan(found.low) or math.isnan(found.high):
        return text
    return f"{text} [{column.show(found.low)}, {column.show(found.high)}]"


def _grid(table: Table) -> Grid:
    costs = [cost for cost in _COSTS if any(row.cost(cost[1]) is not None for row in table.rows)]
    seeds = any(run.seed is not None for run in table.runs)
    headers = ["#", "Run", *(["Seeds"] if seeds else [])]
    headers += [f"{c.key} {'↓' if c.lower else '↑'}" if c.ranked else c.key for c in table.columns]
    headers += [cost[0] for cost in costs]
    best = [_best(table, column) if column.ranked else math.nan for column in table.columns]
    rows = []
    for row in table.rows:
        cells = [Cell(str(row.rank or "")), Cell(row.name)]
        cells += [Cell(seeds_text(row))] if seeds else []
        for column, top in zip(table.columns, best, strict=True):
            found = row.summary(column.key)
            text = value_text(column, found, row)
            difference = row.difference if column is table.primary else None
            if difference is not None and not difference.distinguishable:
                text += f" {MARK}"
            cells.append(Cell(text, found.value == top))
        for _, key, factor, places in costs:
            value = row.cost(key)
            cells.append(Cell("" if value is None else f"{value * factor:.{places}f}"))
        rows.append(cells)
    above = [f"Differs from table 1 in: {'; '.join(table.differs)}."] if table.differs else []
    return Grid(table.title, above, headers, rows, _legend(table))


def _best(table: Table, column: Column) -> float:
    values = (row.summary(column.key).value for row in table.rows)
    known = sorted((value for value in values if not math.isnan(value)), key=column.sort_key)
    return known[0] if known else math.nan


def _legend(table: Table) -> list[str]:
    percent = [column.key for column in table.columns if column.percent]
    pixels = [column.key for column in table.columns if column.pixels]
    raw = [c.key for c in table.columns if not (c.percent or c.pixels)]
    lines = []
    if percent:
        which = "All metrics" if len(percent) == len(table.columns) else ", ".join(percent)
        lines.append(f"{which} in percent, rounded; CSV and JSON hold unrounded fractions.")
    if pixels:
        lines.append(f"{', '.join(pixels)} in pixels, rounded.")
    if raw:
        lines.append(f"{', '.join(raw)} as reported, rounded.")
    level = f"{table.level * 100:g} % " if table.level else ""
    if any(len(row.runs) == 1 for row in table.rows):
        lines.append(f"Single runs: value [{level}interval over images].")
    if any(len(row.runs) > 1 for row in table.rows):
        lines.append("Several seeds: mean ± sample standard deviation (n).")
    close = [row.difference and not row.difference.distinguishable for row in table.rows]
    if any(close):
        seeds = " and seeds (variance pooled over the rows)"
        seeds = seeds if any(len(row.runs) > 1 for row in table.rows) else ""
        lines.append(
            f"{MARK} not distinguishable from the best in {table.primary.key}: the "
            f"{(table.level or 0.95) * 100:g} % interval of the paired difference over images"
            f"{seeds} contains 0."
        )
    return lines + [_sentence(note) for note in table.notes]


def _separation(tables: Sequence[Table], escape: Callable[[str], str]) -> str:
    lines = [
        f"{len(tables)} tables: runs that were measured differently are not ranked together.",
        *(f"- Table {i}: {'; '.join(t.differs)}" for i, t in enumerate(tables[1:], 2)),
    ]
    return "\n".join([lines[0], "", *(f"- {escape(line[2:])}" for line in lines[1:])])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def markdown_text(text: str) -> str:
    """Text whose special characters Markdown leaves alone."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*|]|(?<!\w)_|_(?!\w)|(?<=\])\(", r"\\\g<0>", text)


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A plain table in Markdown; the first ``left`` columns are set to the left."""
    lines = ["| " + " | ".join(map(markdown_text, headers)) + " |"]
    lines.append("|" + "".join("---|" if i < left else "--:|" for i in range(len(headers))))
    lines += ["| " + " | ".join(map(markdown_text, row)) + " |" for row in rows]
    return "\n".join(lines)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def columns_of_text(rows: Sequence[Sequence[str]]) -> str:
    """Align texts in columns for a terminal, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
