"""A results folder that many runs share: one file a record, so nobody writes into another's."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnseg._atomic import create_bytes, to_plain
from attnseg.leaderboard.records import Record


def append_record(
    folder: str | Path, record: Mapping[str, Any], statistics: bytes | None = None
) -> Path:
    """Add a record to a folder; any number of processes may do so at once.

    The file is ``<id>.json``, or ``<id>-2.json`` and so on where that is taken by another record.
    A record that is there already is left alone.

    Args:
        folder: Made where it is missing.
        record: Content with an ``id``; ``per_image`` becomes the name of the statistics' file.
        statistics: Content of its ``per_image.npz``.

    Returns:
        The file of the record.

    Raises:
        OSError: If the folder cannot be written; what is there stays as it is.
        TypeError: If the record holds something that has no JSON form.
    """
    folder = Path(folder)
    for number in itertools.count(1):
        stem = record["id"] if number == 1 else f"{record['id']}-{number}"
        path, other = folder / f"{stem}.json", folder / f"{stem}.npz"
        content = {**record, "per_image": other.name if statistics else None}
        text = json.dumps(to_plain(content), indent=2, allow_nan=False) + "\n"
        data = text.encode()
        if _holds(path, data) and (not statistics or _holds(other, statistics)):
            return path
        try:
            if statistics and not _holds(other, statistics):
                create_bytes(other, statistics)
            create_bytes(path, data)
            return path
        except FileExistsError:
            continue
    raise AssertionError("unreachable")


def copy_record(record: Record, folder: str | Path) -> Path:
    """Add a run's record to a results folder, with its statistics; errors as `append_record`."""
    data = dict(record.data)
    predictions = record.beside("predictions")
    if predictions is not None:
        data["predictions"] = str(predictions.resolve())
    statistics = record.beside("per_image")
    there = statistics is not None and statistics.is_file()
    return append_record(folder, data, statistics.read_bytes() if there else None)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False
