"""The identity of files: what they hold, wherever they lie."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files_hash(paths: Iterable[str | Path]) -> str:
    """SHA-256 of the names, below the common folder, and the contents of files in any order.

    Raises:
        OSError: A file cannot be read.
        ValueError: If there is no file.
    """
    files = sorted(map(str, paths))
    folder, digest = os.path.commonpath([os.path.dirname(file) for file in files]), hashlib.sha256()
    for file in files:
        name = os.path.relpath(file, folder).replace(os.sep, "/")
        digest.update(f"{name}\0{file_hash(file)}\0".encode())
    return digest.hexdigest()
