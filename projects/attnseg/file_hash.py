"""The identity of a file: what it holds, wherever it lies."""

import hashlib
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
