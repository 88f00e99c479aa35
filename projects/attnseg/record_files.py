"""Records on the disk: each in a new file, none ever overwritten."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnseg._atomic import create_bytes, to_plain
from attnseg.per_image import PerImageTable, pack_tables

STEM, TABLES = "record", "per_image"


def write_record(
    folder: str | Path, record: Mapping[str, Any], tables: Sequence[PerImageTable] = ()
) -> Path:
    """Write a record, and the per-image statistics beside it, into the folder of its run.

    The names are ``record.json`` and ``per_image.npz``; see `add_record` for what follows if they
    are taken.

    Args:
        folder: Made where it is missing.
        record: JSON values; ``per_image`` is filled in.
        tables: What the statistics' file gets; none, no file.

    Raises:
        OSError: The folder cannot be written; names the file. Old files are unchanged.
        TypeError: The record holds something that has no JSON form.
    """
    statistics = pack_tables(tables) if tables else None
    return add_record(folder, record, statistics, STEM, TABLES)


def copy_record(path: str | Path, folder: str | Path) -> Path:
    """Copy a record into a folder that many runs share, named by its ``id``.

    Its per-image statistics come along; the folder of its predictions becomes absolute.

    Returns:
        The file of the record in that folder.

    Raises:
        OSError: The folder cannot be written; names the file.
    """
    path = Path(path)
    record = json.loads(path.read_text(encoding="utf-8"))
    if record.get("predictions"):
        record["predictions"] = os.path.abspath(path.parent / record["predictions"])
    statistics = path.parent / record["per_image"] if record.get("per_image") else None
    data = statistics.read_bytes() if statistics and statistics.is_file() else None
    return add_record(folder, record, data, record["id"], record["id"])


def add_record(
    folder: str | Path,
    record: Mapping[str, Any],
    statistics: bytes | None,
    stem: str,
    statistics_stem: str,
) -> Path:
    """Write a record under a name that is free; any number of processes may do so at once.

    The names are ``<stem>.json`` and ``<statistics_stem>.npz``, then ``<stem>-2.json`` and so on.
    A record that is there already is left alone.

    Raises:
        OSError: The folder cannot be written; names the file. Old files are unchanged.
        TypeError: The record holds something that has no JSON form.
    """
    folder = Path(folder)
    with _naming(folder / f"{stem}.json"):
        folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        suffix = "" if number == 1 else f"-{number}"
        path, other = folder / f"{stem}{suffix}.json", folder / f"{statistics_stem}{suffix}.npz"
        content = {**record, "per_image": None if statistics is None else other.name}
        text = json.dumps(to_plain(content), indent=2, allow_nan=False) + "\n"
        if not path.exists() and _create_both(path, text.encode(), other, statistics):
            return path
        if _same(_content(path), text) and (statistics is None or _content(other) == statistics):
            return path
    raise AssertionError("unreachable")


def _same(there: bytes | None, text: str) -> bool:
    """Whether two records are one; its predictions may have moved."""
    try:
        a, b = json.loads(there or b""), json.loads(text)
    except ValueError:
        return False
    return isinstance(a, dict) and a | {"predictions": None} == b | {"predictions": None}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _create_both(path: Path, record: bytes, other: Path, statistics: bytes | None) -> bool:
    """Create a record and its statistics, the record last; False if one of the names is taken."""
    created_statistics = statistics is not None and _create(other, statistics)
    # Equal ones are those of the same record, which another process is about to write.
    if not created_statistics and statistics is not None and _content(other) != statistics:
        return False
    try:
        return _create(path, record)
    except BaseException:
        if created_statistics:
            other.unlink(missing_ok=True)
        raise


def _create(path: Path, data: bytes) -> bool:
    with _naming(path):
        try:
            create_bytes(path, data)
        except FileExistsError:
            return False
    return True


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error of the system, which may know its temporary name only."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OSError(error.errno, f"cannot write: {reason}", str(path)) from error
