"""Records on the disk: each in a new file, none ever overwritten."""

import itertools
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnseg._atomic import create_bytes, to_plain
from attnseg.per_image import PerImageTable, write_tables

STEM, TABLES = "record", "per_image"


def write_record(
    folder: str | Path, record: Mapping[str, Any], tables: Sequence[PerImageTable] = ()
) -> Path:
    """Write a record, and the per-image statistics beside it, under names that are free.

    The names are ``record.json`` and ``per_image.npz``, then ``record-2.json`` and
    ``per_image-2.npz`` and so on. Any number of processes may write into one folder.

    Args:
        folder: Made where it is missing.
        record: JSON values; ``per_image`` is filled in.
        tables: What the statistics' file gets; none, no file.

    Raises:
        OSError: The folder cannot be written; names the file. Old files are unchanged.
        TypeError: The record holds something that has no JSON form.
    """
    folder = Path(folder)
    with _naming(folder / f"{STEM}.json"):
        folder.mkdir(parents=True, exist_ok=True)
    statistics = _packed(folder, tables) if tables else None
    for number in itertools.count(1):
        suffix = "" if number == 1 else f"-{number}"
        path = folder / f"{STEM}{suffix}.json"
        if not path.exists() and _create_both(path, record, f"{TABLES}{suffix}.npz", statistics):
            return path
    raise AssertionError("unreachable")


def copy_record(path: Path, folder: str | Path) -> Path:
    """Copy a record into a folder that many runs share, named by its ``id``.

    Its per-image statistics come along; the folder of its predictions becomes absolute.

    Raises:
        OSError: The folder cannot be written, or has a record of this id; names the file.
    """
    folder, record = Path(folder), json.loads(path.read_text(encoding="utf-8"))
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    statistics, name = record["per_image"], f"{record['id']}.npz"
    if record["predictions"]:
        record["predictions"] = os.path.abspath(path.parent / record["predictions"])
    data = (path.parent / statistics).read_bytes() if statistics else None
    target = folder / f"{record['id']}.json"
    if not _create_both(target, record, name, data):
        raise FileExistsError(f"'{target}' exists already: its record has the same id.")
    return target


def _create_both(path: Path, record: Mapping[str, Any], name: str, data: bytes | None) -> bool:
    """Create a record and its statistics, the record last; False if one of the names is taken."""
    other = path.with_name(name)
    content = {**record, "per_image": None if data is None else name}
    text = json.dumps(to_plain(content), indent=2, allow_nan=False) + "\n"
    if data is not None and not _create(other, data):
        return False
    try:
        created = _create(path, text.encode())
    except BaseException:
        if data is not None:
            other.unlink(missing_ok=True)
        raise
    if not created and data is not None:
        other.unlink(missing_ok=True)
    return created


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


def _packed(folder: Path, tables: Sequence[PerImageTable]) -> bytes:
    name = folder / f"{TABLES}.npz"
    with _naming(name), tempfile.TemporaryDirectory(prefix=".per_image_", dir=folder) as temporary:
        file = Path(temporary) / name.name
        write_tables(file, tables)
        return file.read_bytes()
