"""What an evaluation ran on: the data set, its split, and a hash of its annotations."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attnseg.file_hash import file_hash, files_hash

_SPLIT = re.compile(
    r"(?<![a-z])(trainval|training|train|validation|minival|val|test-?dev|testing|test)(?![a-z])",
    re.IGNORECASE,
)
_SAME_SPLIT = {"training": "train", "validation": "val", "testing": "test"}


def describe_data(dataset: Any) -> dict[str, Any]:
    """The ``data`` part of a record.

    The hash is over the content of the annotation files; where there is none, or only a list of
    names, over the sorted names and contents of the label maps.

    Args:
        dataset: What a data loader reads, perhaps several data sets or one inside wrappers.
    """
    parts = list(_parts(dataset))
    hashes, names, splits = [], [], []
    for part in parts:
        file = _annotation_file(part)
        maps = [] if file else _label_maps(part)
        if file:
            hashes.append(file_hash(file))
            names.append(Path(file).name)
        elif maps:
            hashes.append(files_hash(maps))
            names.append(Path(os.path.commonpath([os.path.dirname(m) for m in maps])).name)
        splits.append(_split(part, file, maps))
    complete = len(hashes) == len(parts)
    return {
        "type": "+".join(dict.fromkeys(type(part).__name__ for part in parts)),
        "split": "+".join(dict.fromkeys(splits)) if all(splits) else None,
        "annotations": "+".join(names) or None,
        "hash": _joined(hashes) if complete else None,
        "images": len(dataset),
        # The same annotations with fewer classes, or with fewer of them as things, are easier.
        "classes": _names(dataset, "classes"),
        "things": _names(dataset, "thing_classes"),
    }


def _names(dataset: Any, key: str) -> list[str] | None:
    names = (getattr(dataset, "metainfo", None) or {}).get(key)
    if names is None:
        return None
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _parts(dataset: Any) -> Iterator[Any]:
    inner = getattr(dataset, "datasets", None)
    if inner:
        for part in inner:
            yield from _parts(part)
    elif getattr(dataset, "dataset", None) is not None:
        yield from _parts(dataset.dataset)
    else:
        yield dataset


def _annotation_file(dataset: Any) -> str | None:
    """The file with the annotations; a text file only lists names."""
    file = getattr(dataset, "ann_file", None)
    if not isinstance(file, (str, os.PathLike)) or not str(file):
        return None
    return str(file) if Path(file).is_file() and Path(file).suffix != ".txt" else None


def _label_maps(dataset: Any) -> list[str]:
    if not hasattr(dataset, "get_data_info"):
        return []
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    paths = [info.get("seg_map_path") for info in infos if isinstance(info, dict)]
    return sorted(map(str, paths)) if paths and all(paths) else []


def _joined(hashes: list[str]) -> str | None:
    if len(hashes) < 2:
        return hashes[0] if hashes else None
    return hashlib.sha256("\0".join(hashes).encode()).hexdigest()


def _split(dataset: Any, file: str | None, maps: list[str]) -> str | None:
    """Name of the split in the names of the files; None where they do not tell."""
    prefix = getattr(dataset, "data_prefix", None) or {}
    candidates = [Path(file).stem] if file else []
    listed = getattr(dataset, "ann_file", None)
    candidates += [Path(listed).stem] if isinstance(listed, str) and listed else []
    root = str(getattr(dataset, "data_root", None) or "")
    candidates += [
        str(value).removeprefix(root) for value in prefix.values() if isinstance(value, str)
    ]
    candidates += [Path(maps[0]).parent.name] if maps else []
    for text in candidates:
        if found := _SPLIT.findall(text):
            name = found[-1].lower()
            return _SAME_SPLIT.get(name, name)
    return None
