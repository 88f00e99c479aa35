"""Checkpoints that know their own hash: damage shows before anything is loaded.

``torch.load`` does not compare the checksums of its archive, so that a flipped bit becomes a wrong
weight without a word. A sealed file carries the SHA-256 of its bytes in the archive's comment,
which torch, mmengine and every zip program skip.
"""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO

from attnseg.zip_limits import check_members

_MARK = b"attnseg sha256 "
_COMMENT = len(_MARK) + hashlib.sha256().digest_size * 2
_END = b"PK\x05\x06"
_END_SIZE = 22
_CHUNK = 1 << 22


def write_sealed(file: IO[bytes], data: bytes) -> None:
    """Write the bytes of a ``torch.save`` archive with their seal; other bytes as they are."""
    view = memoryview(data)
    if not _ends_archive(data[-_END_SIZE:]):
        file.write(view)
        return
    body = view[:-2]
    file.write(body)
    file.write(_comment(hashlib.sha256(body).hexdigest()))


def is_sealed(path: str | Path) -> bool:
    """Whether a file ends with a seal, right or wrong."""
    return _sealed_tail(_tail(path))


def damage(path: str | Path) -> str | None:
    """What is wrong with a checkpoint file, as words to put behind its name; None if nothing is.

    A file without a seal is held against the checksums of its archive, which leave out some bytes.

    Args:
        path: A file of ``torch.save``.

    Raises:
        OSError: The file cannot be read.
    """
    size = os.path.getsize(path)
    if size == 0:
        return "is empty"
    tail = _tail(path)
    if _sealed_tail(tail):
        if tail.endswith(_file_digest(path, size - _COMMENT - 2).encode()):
            return None
        return "has other bytes than were written (its SHA-256 differs)"
    if not _ends_archive(tail[-_END_SIZE:]):
        return f"is truncated or not a checkpoint ({size} bytes, without the end of an archive)"
    return archive_damage(path)


def is_archive(path: str | Path) -> bool:
    """Whether a file is a zip archive, be it a damaged one."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # an end that tells of several disks
        return True


def archive_damage(path: str | Path, checksums: bool = True) -> str | None:
    """What is wrong with a zip archive by its own words, as of `damage`.

    Archives that torch wrote without checksums (``set_crc32_options(False)``) pass.

    Args:
        path: The archive.
        checksums: Whether to compare them, which reads the whole file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive)
            checked = checksums and any(info.CRC for info in archive.infolist())
            broken = archive.testzip() if checked else None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        return f"is damaged ({error})"
    except RuntimeError as error:  # encrypted
        return f"is no checkpoint ({error})"
    return f"is damaged (the checksum of its part '{broken}' differs)" if broken else None


def _comment(digest: str) -> bytes:
    return _COMMENT.to_bytes(2, "little") + _MARK + digest.encode()


def _tail(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(-min(os.path.getsize(path), _END_SIZE + _COMMENT), os.SEEK_END)
        return file.read()


def _ends_archive(tail: bytes) -> bool:
    return len(tail) == _END_SIZE and tail.startswith(_END) and tail.endswith(b"\0\0")


def _sealed_tail(tail: bytes) -> bool:
    start = _END_SIZE - 2
    expected = _COMMENT.to_bytes(2, "little") + _MARK
    return tail.startswith(_END) and tail[start : start + len(expected)] == expected


def _file_digest(path: str | Path, length: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while length > 0 and (chunk := file.read(min(_CHUNK, length))):
            digest.update(chunk)
            length -= len(chunk)
    return digest.hexdigest()
