"""One self-contained HTML file: tables, trade-offs, classes and the worst images of the runs.

Nothing is loaded from anywhere: a content security policy forbids all requests, and lets only this
page's script and style run, by their hashes. Names from records reach the page as JSON and are
shown as text, never as markup.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.resources import files
from typing import Any, NamedTuple

from attnseg._atomic import to_plain
from attnseg.leaderboard.columns import is_main, make_column, split_prefix
from attnseg.leaderboard.export import COSTS
from attnseg.leaderboard.groups import Row, Table
from attnseg.leaderboard.overlays import Album, run_images
from attnseg.leaderboard.records import Problem, Record
from attnseg.leaderboard.text import seeds_text

_SCRIPTS = ("core.js", "table.js", "scatter.js", "classes.js", "images.js", "main.js")
_FACTS = (
    *(("Config", "config.file"), ("Config hash", "config.hash")),
    *(("Checkpoint", "checkpoint.file"), ("Code", "git.revision"), ("Finished", "finished")),
    *(("CPU", "hardware.cpu"), ("GPU", "hardware.gpu"), ("Device", "cost.device")),
    *(("Input", "cost.input"), ("Batch size", "cost.batch_size"), ("torch", "versions.torch")),
    *(("attnseg", "versions.attnseg"), ("Command", "command")),
)


class Page(NamedTuple):
    """A page and what whoever made it should know."""

    html: str
    notes: list[str]


def build_page(
    tables: Sequence[Table],
    problems: Sequence[Problem] = (),
    title: str = "Leaderboard",
    images: int = 6,
    image_bytes: int = 16 * 2**20,
) -> Page:
    """Make the page.

    Args:
        tables: What is ranked.
        problems: Files that were skipped; the page names them.
        title: Headline.
        images: Worst images of each row.
        image_bytes: All pictures of the page stay below this size; the best rows come first.

    Raises:
        ValueError: If a number is negative.
    """
    if images < 0 or image_bytes < 0:
        raise ValueError("the number of images and their size must not be negative.")
    album = Album(image_bytes)
    rows = [
        _row(index, table, row, album, images)
        for index, table in enumerate(tables)
        for row in table.rows
    ]
    content = {
        "title": title,
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "tables": [_table(table) for table in tables],
        "rows": rows,
        "pictures": album.pictures,
        "skipped": [problem.reason for problem in problems],
    }
    missing = {card["note"] for row in rows for card in row["images"]["cards"] if card.get("note")}
    notes = sorted(missing)[:20]
    if album.full:
        notes.append("not all pictures fit: --image-mib gives the page more room.")
    return Page(_render(title, content), notes)


def _render(title: str, content: dict[str, Any]) -> str:
    style = _asset("page.css")
    script = "\n".join(["(() => {", '"use strict";', *map(_asset, _SCRIPTS), "})();"])
    text = json.dumps(to_plain(content), allow_nan=False, separators=(",", ":"))
    # In a script element, only these three can end the text or start a comment.
    data = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": html.escape(policy),
        "TITLE": html.escape(title),
        "STYLE": style,
        "DATA": data,
        "SCRIPT": script,
    }
    # Split first: text that is filled in is never searched for names.
    pieces = _asset("page.html").split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _asset(name: str) -> str:
    return (files("attnseg.leaderboard") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _table(table: Table) -> dict[str, Any]:
    records = [run.record for run in table.runs]
    prefixes = {prefix for record in records for prefix in record.prefixes}
    keys = list(dict.fromkeys(key for record in records for key in record.metrics))
    main = [key for key in keys if is_main(key, prefixes)]
    shown = dict.fromkeys([*main, *(column.key for column in table.columns)])
    families: dict[str, list[str]] = {}
    for key in keys:
        if key not in main:
            family, name = _family(key, prefixes)
            families.setdefault(family, []).append(name)
    return {
        "title": table.title,
        "differs": table.differs,
        "notes": table.notes,
        "level": table.level,
        "primary": table.primary.key,
        "columns": [vars(column) for column in table.columns],
        "metrics": [vars(make_column(key, records)) for key in shown],
        "families": [
            {**_family_unit(key, names, records), "key": key, "classes": names}
            for key, names in families.items()
        ],
        "settings": [_evaluator_text(e) for e in table.key["evaluators"]],
        "axes": table.axes,
        "reference": [
            {"key": key, "title": table.reference.title(key)} for key in table.reference.keys
        ]
        if table.reference
        else [],
    }


def _family(key: str, prefixes: set[Any]) -> tuple[str, str]:
    """Split the key of a class's value: ``semantic/IoU/road`` is road of semantic/IoU."""
    prefix, own = split_prefix(key, prefixes)
    metric, _, name = own.partition("/")
    return f"{prefix}/{metric}" if prefix else metric, name


def _family_unit(key: str, classes: Sequence[str], records: Sequence[Record]) -> dict[str, Any]:
    columns = [make_column(f"{key}/{name}", records) for name in classes]
    # One class at 0 looks like a fraction, also where the others are in percent.
    return {**vars(columns[0]), "percent": all(column.percent for column in columns)}


def _row(index: int, table: Table, row: Row, album: Album, images: int) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for run in row.runs for key in run.metrics))
    difference = row.difference
    cards: dict[str, Any] = {"cards": [], "notes": [], "legend": [], "of": ""}
    if row.runs:
        shown = next((run for run in row.runs if run.record.get("per_image")), row.runs[0])
        cards = run_images(shown.record, table.primary, images, album)
        cards["of"] = "" if len(row.runs) == 1 else f"seed {shown.seed}"
    return {
        "table": index,
        "rank": row.rank,
        "name": row.name,
        "seeds": seeds_text(row) if row.runs else "",
        "labels": list(row.labels),
        "reference": dict(row.reference),
        "note": row.note,
        "n": len(row.runs),
        "missing": row.missing,
        "metrics": {key: list(row.summary(key)) for key in keys},
        "cost": {key: row.cost(key) for key in COSTS},
        "difference": difference and list(difference),
        "close": difference is not None and not difference.distinguishable,
        "facts": _facts(row.runs[0].record) if row.runs else [],
        "images": cards,
    }


def _facts(record: Record) -> list[list[str]]:
    facts = [["Record", record.id]]
    for name, key in _FACTS:
        value = record.get(key)
        if value is not None:
            text = "x".join(map(str, value)) if isinstance(value, list) else str(value)
            facts.append([name, f"{text} (dirty)" if _dirty(name, record) else text])
    return facts


def _dirty(name: str, record: Record) -> bool:
    return name == "Code" and record.get("git.dirty") is True


def _evaluator_text(evaluator: dict[str, Any]) -> str:
    settings = evaluator.get("settings") or {}
    inner = ", ".join(f"{key} {json.dumps(value)}" for key, value in settings.items())
    return f"{evaluator.get('type')}: {inner or 'settings unknown'}"
