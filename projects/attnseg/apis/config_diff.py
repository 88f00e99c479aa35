"""Differences of two configs, or of what two runs were started with."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.apis.config_errors import config_errors
from attnseg.apis.config_print import short
from attnseg.apis.config_sources import Keys, Sources, leaves, read_sources
from attnseg.apis.experiment import find_config
from attnseg.compat import setup_env

_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """A key that two configs do not share with the same value.

    Attributes:
        key: Dotted; an index stands for an item of a list.
        kind: ``added`` and ``removed`` as seen from the first to the second, or ``changed``.
        old: Value in the first; None if it is added.
        new: Value in the second; None if it is removed.
        old_where: ``file:line`` that set the first.
        new_where: The same of the second.
    """

    key: str
    kind: str
    old: Any = None
    new: Any = None
    old_where: str = ""
    new_where: str = ""


def run_diff(first: str, second: str, *, as_json: bool = False) -> bool:
    """Print how the second config differs from the first.

    Args:
        first: A config (see :func:`attnseg.apis.experiment.find_config`), or a run folder, for the
            config that a training left there.
        second: The same.
        as_json: Print a JSON list.

    Returns:
        Whether they differ.

    Raises:
        UsageError: A config is missing, or a folder holds none.
    """
    setup_env()
    sources = []
    for path in (_config(first), _config(second)):
        with config_errors(path):
            sources.append(read_sources(path))
    found = list(compare(*sources))
    if as_json:
        print(json.dumps([vars(difference) for difference in found], indent=2, default=repr))
    else:
        for difference in found:
            print("\n".join(_lines(difference)))
    return bool(found)


def compare(first: Sources, second: Sources) -> Iterator[Difference]:
    """Differences, in the order of the second config, then what only the first has.

    Lists and tuples of the same items are the same, as everywhere in a run.
    """
    old, new = dict(leaves(first.config)), dict(leaves(second.config))
    for keys, value in new.items():
        before = old.get(keys, _MISSING)
        name, where = ".".join(keys), _where(second, keys)
        if before is _MISSING:
            yield Difference(name, "added", new=value, new_where=where)
        elif _plain(before) != _plain(value):
            yield Difference(name, "changed", before, value, _where(first, keys), where)
    for keys, value in old.items():
        if keys not in new:
            yield Difference(".".join(keys), "removed", value, old_where=_where(first, keys))


def _where(sources: Sources, keys: Keys) -> str:
    steps = sources.of(keys)
    return steps[-1].where if steps else ""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _lines(found: Difference) -> Iterator[str]:
    yield f"{found.kind} {found.key}"
    if found.kind != "added":
        yield f"  - {short(found.old)}  {found.old_where}"
    if found.kind != "removed":
        yield f"  + {short(found.new)}  {found.new_where}"


def _config(name: str) -> Path:
    """A config file, or the newest one that a run left in its folder."""
    folder = Path(name)
    if not folder.is_dir():
        return find_config(name)
    found = [*folder.glob("*.py"), *folder.glob("*/vis_data/config.py")]
    if not found:
        raise UsageError(f"{folder}: no config here; a training leaves <config>.py in its folder.")
    return max(found, key=lambda file: (file.parent == folder, file.stat().st_mtime))
