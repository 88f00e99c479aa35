"""Per-image statistics of an evaluation: ``per_image.npz``, written by runs and read by tools.

A metric reduces each image to a few numbers from which its values follow. With them a result can
be resampled and compared image by image, without the predictions. The file holds plain arrays and
one JSON text; reading it runs no code.
"""

import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attnseg._atomic import to_plain, write_bytes
from attnseg.zip_limits import check_members

FORMAT = 1
_HEADER = "header"


class ImageRef(NamedTuple):
    """An image as the data set knows it; one of the two may be missing (None, "")."""

    id: int | str | None
    path: str


@dataclass(frozen=True)
class PerImageTable:
    """Statistics of one metric.

    Attributes:
        metric: Class name of the metric.
        prefix: First part of its keys, "" for none.
        settings: Everything that changes the numbers.
        classes: Unique names of the classes.
        images: The n images.
        arrays: Statistics by name; most have the images along their first axis, the module of
            `attnseg.evaluation.scores` that belongs to the metric says which.
    """

    metric: str
    prefix: str
    settings: Mapping[str, Any]
    classes: tuple[str, ...]
    images: tuple[ImageRef, ...]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tells the tables of one evaluation apart: the prefix, else the metric."""
        return self.prefix or self.metric


def image_names(table: PerImageTable) -> list[str]:
    """Identify the images across machines: by number, else by the path below their common folder.

    Ids that are texts are names that one data set class gives and another does not; they count
    where there is no path. Numbers that occur twice, as in two data sets joined, are told apart by
    the path.
    """
    paths = [image.path for image in table.images]
    ids = [
        None if image.id is None or (isinstance(image.id, str) and image.path) else str(image.id)
        for image in table.images
    ]
    try:
        folder = os.path.commonpath(paths) if len(paths) > 1 and all(paths) else ""
    except ValueError:  # absolute and relative paths
        folder = ""
    below = [os.path.relpath(path, folder) if folder else Path(path).name for path in paths]
    repeated = {name for name, times in Counter(ids).items() if times > 1}
    return [
        path if name is None else f"{name} {path}" if name in repeated else name
        for name, path in zip(ids, below, strict=True)
    ]


def write_tables(path: str | Path, tables: Sequence[PerImageTable]) -> None:
    """Write the tables of one evaluation, atomically; see `pack_tables`.

    Raises:
        OSError: If the file cannot be written; an old one is then unchanged.
        TypeError: If the settings have no JSON form.
    """
    write_bytes(path, pack_tables(tables))


def pack_tables(tables: Sequence[PerImageTable]) -> bytes:
    """Content of the file with the tables of one evaluation.

    Two metrics of one prefix are told apart by a number behind it.

    Raises:
        TypeError: If the settings have no JSON form.
    """
    total, seen = Counter(table.name for table in tables), Counter[str]()
    header, arrays = [], {}
    for index, table in enumerate(tables):
        seen[table.name] += 1
        suffix = f"#{seen[table.name]}" if total[table.name] > 1 else ""
        header.append(
            {
                "name": table.name + suffix,
                "metric": table.metric,
                "prefix": table.prefix,
                "settings": to_plain(dict(table.settings)),
                "classes": list(table.classes),
                "images": [list(image) for image in table.images],
                "arrays": sorted(table.arrays),
            }
        )
        arrays.update({f"{index}.{key}": np.asarray(value) for key, value in table.arrays.items()})
    content = json.dumps({"format": FORMAT, "tables": header}, allow_nan=False)
    buffer = io.BytesIO()
    packed = np.frombuffer(content.encode(), dtype=np.uint8)
    np.savez_compressed(buffer, **{_HEADER: packed}, **arrays)
    return buffer.getvalue()


def read_tables(path: str | Path) -> dict[str, PerImageTable]:
    """Read what `write_tables` wrote, by the tables' names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or of another format; names the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"'{path}' does not exist; tools/test.py writes per_image.npz beside result.json."
        )
    try:
        with zipfile.ZipFile(path) as packed:
            check_members(packed)
        with np.load(path, allow_pickle=False) as archive:
            content = json.loads(archive[_HEADER].tobytes())
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
            return {
                entry["name"]: PerImageTable(
                    metric=entry["metric"],
                    prefix=entry["prefix"],
                    settings=entry["settings"],
                    classes=tuple(entry["classes"]),
                    images=tuple(ImageRef(*image) for image in entry["images"]),
                    arrays={key: _array(archive[f"{index}.{key}"]) for key in entry["arrays"]},
                )
                for index, entry in enumerate(content["tables"])
            }
    except Exception as error:  # zip, zlib, npy headers and json each raise their own
        raise ValueError(
            f"'{path}' is damaged or no file of per-image statistics "
            f"({type(error).__name__}: {error}). Evaluate the checkpoint again."
        ) from error


def _array(value: Any) -> np.ndarray:
    """What numpy takes for an array: of a member that is none, it gives the bytes."""
    if not isinstance(value, np.ndarray):
        raise ValueError("a part that is no array")
    return value
