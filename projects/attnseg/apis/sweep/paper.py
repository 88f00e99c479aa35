"""What a paper reports: its figures, which stand beside ours and are never ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.apis.sweep.names import check_names, label_of

_PAPER = ("source", "unit", "figures", "rows", "unavailable")
_ROW = ("where", "label", "values")


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's table.

    Attributes:
        where: Axis -> label of the cells that it belongs to; empty for a method we do not run.
        label: Name of a method we do not run.
        values: Metric key -> number as printed.
    """

    where: Mapping[str, str]
    label: str | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Paper:
    """A table of a paper.

    Attributes:
        source: Which table of which paper.
        unit: Of its figures.
        rows: As the paper orders them.
        unavailable: Method -> why it is not run here.
    """

    source: str
    unit: str
    rows: tuple[PaperRow, ...]
    unavailable: Mapping[str, str]

    @property
    def keys(self) -> list[str]:
        """Metrics that have figures."""
        return list(dict.fromkeys(key for row in self.rows for key in row.values))


def read_paper(
    content: Mapping[str, Any], axes: Mapping[str, Sequence[str]], columns: Sequence[str]
) -> Paper:
    """Check a sweep file's ``paper``.

    Args:
        content: The dict.
        axes: Axis -> labels of the full sweep.
        columns: Metric keys of the full sweep.

    Raises:
        UsageError: A name, axis, label or metric is unknown, or a figure is no number.
    """
    check_names(content, _PAPER, "paper")
    source, unit = content.get("source"), content.get("unit", "")
    if not isinstance(source, str) or not source:
        raise UsageError("paper.source: name the table and the paper, to label its figures.")
    if not isinstance(unit, str):
        raise UsageError(f"paper.unit: expected a text such as '%', got {unit!r:.60}.")
    unavailable = content.get("unavailable") or {}
    if not isinstance(unavailable, Mapping) or not all(
        isinstance(text, str) for pair in unavailable.items() for text in pair
    ):
        raise UsageError("paper.unavailable: expected a dict from method to reason.")
    given = content.get("rows") or []
    if not isinstance(given, (list, tuple)):
        raise UsageError(f"paper.rows: expected a list of dicts, got {given!r:.60}.")
    rows = [_row(f"paper.rows[{i}]", row, axes, columns) for i, row in enumerate(given)]
    table = _table(content.get("figures") or {}, axes, columns, unavailable)
    return Paper(source, unit, (*table, *rows), dict(unavailable))


def _table(
    figures: Any,
    axes: Mapping[str, Sequence[str]],
    columns: Sequence[str],
    unavailable: Mapping[str, str],
) -> Iterator[PaperRow]:
    """Rows of a table as it is printed: a name, and a number for each column."""
    if not isinstance(figures, Mapping):
        raise UsageError(f"paper.figures: expected a dict, got {figures!r:.60}.")
    if figures and len(axes) != 1:
        raise UsageError("paper.figures: is for a sweep of one axis; give paper.rows.")
    for label, numbers in figures.items():
        name = f"paper.figures[{label!r}]"
        if not isinstance(numbers, (list, tuple)) or len(numbers) != len(columns):
            raise UsageError(f"{name}: expected {len(columns)} numbers, one for each column.")
        (axis,), text = axes, label_of(label)
        check_names([text], [*axes[axis], *unavailable], "paper.figures")
        place = {"where": {axis: label}} if text in axes[axis] else {"label": text}
        values = dict(zip(columns, numbers, strict=True))
        yield _row(name, {**place, "values": values}, axes, columns)


def _row(
    name: str, row: Any, axes: Mapping[str, Sequence[str]], columns: Sequence[str]
) -> PaperRow:
    if not isinstance(row, Mapping):
        raise UsageError(f"{name}: expected a dict, got {row!r:.60}.")
    check_names(row, _ROW, name)
    where, label = row.get("where") or {}, row.get("label")
    values = row.get("values") or {}
    if not isinstance(where, Mapping) or not isinstance(values, Mapping):
        raise UsageError(f"{name}: where and values are dicts.")
    if not isinstance(label, (str, type(None))):
        raise UsageError(f"{name}.label: expected a text, got {label!r:.60}.")
    if bool(where) == bool(label) and axes:
        raise UsageError(f"{name}: give where={{axis: label}}, or a label for what is not run.")
    check_names(where, list(axes), f"{name}.where")
    texts = {axis: label_of(value) for axis, value in where.items()}
    for axis, text in texts.items():
        check_names([text], axes[axis], f"{name}.where[{axis!r}]")
    check_names(values, columns, f"{name}.values")
    for key, value in values.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise UsageError(f"{name}.values[{key!r}]: expected a number, got {value!r:.60}.")
    return PaperRow(texts, label, dict(values))
