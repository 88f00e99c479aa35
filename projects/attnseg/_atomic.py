"""Files that are either the old one or the new one, never half of one.

Data goes to a temporary file in the same folder, is flushed to the disk and
then renamed over the target, which POSIX does in one step.
"""

import errno
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# What file systems without hard links answer.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def replace_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Stream a file that takes the place of ``path`` when the block ends without an error.

    Parent folders are created. Until then the data are in the file ``name`` of what is yielded,
    which can be read and written; after an error nothing is left of it.

    Raises:
        OSError: The folder cannot be written; ``path`` is then unchanged.
    """
    path = Path(path)
    # A rename would replace a link by a file and leave its target stale.
    target = path.resolve() if path.is_symlink() else path
    with _temporary_file(target) as file:
        yield file
        _store(file, target)
        os.replace(file.name, target)
    _sync_folder(target.parent)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replace the content of ``path`` atomically; parent folders are created.

    Raises:
        OSError: The folder cannot be written; ``path`` is then unchanged.
    """
    with replace_file(path) as file:
        file.write(data)


def create_bytes(path: str | Path, data: bytes) -> None:
    """Write a new file atomically, never over another; parent folders are created.

    Of several processes that create the same path at once, exactly one succeeds.

    Raises:
        FileExistsError: ``path`` is taken, be it by a broken link; its content is unchanged.
        OSError: The folder cannot be written; there is then no file.
    """
    path = Path(path)
    with _temporary_file(path) as file:
        file.write(data)
        _store(file, path)
        try:
            os.link(file.name, path)
        except FileExistsError:
            raise FileExistsError(f"'{path}' exists; it is not written over.") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # The name is reserved first: readers may see an empty file for a moment.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.replace(file.name, path)
    _sync_folder(path.parent)


def write_text(path: str | Path, text: str, encoding: str = "utf-8") -> None:
    """Replace the content of ``path`` atomically by ``text``."""
    write_bytes(path, text.encode(encoding))


def write_json(path: str | Path, value: Any, indent: int | None = 2) -> None:
    """Write ``value`` as strict JSON, atomically.

    Floats keep every digit (``repr``); NaN and infinities, which JSON lacks,
    become ``null``. Numpy and torch scalars and arrays become numbers and lists.

    Raises:
        TypeError: ``value`` holds something that has no JSON form; names its type.
    """
    write_text(path, json.dumps(to_plain(value), indent=indent, allow_nan=False) + "\n")


def to_plain(value: Any) -> Any:
    """The value made of dict, list, str, int, float, bool and None only.

    Raises:
        TypeError: A part of the value has no JSON form; names its type.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # Numpy scalars and arrays and torch tensors, without importing either.
    if hasattr(value, "tolist"):
        return to_plain(value.tolist())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r:.80}")


@contextmanager
def _temporary_file(target: Path) -> Iterator[IO[bytes]]:
    """A new file beside ``target``; gone at the end if it still exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        prefix=f".{target.name}.", suffix=".tmp", dir=target.parent, delete=False
    ) as file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def _store(file: IO[bytes], target: Path) -> None:
    """Bring the data to the disk, and give the file the mode that ``target`` is to have."""
    file.flush()
    os.fsync(file.fileno())
    os.chmod(file.name, _file_mode(target))


def _file_mode(target: Path) -> int:
    """The mode of the old file, else what the umask gives a new one."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path) -> None:
    """Make the rename survive a power cut where the file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)
