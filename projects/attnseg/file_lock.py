"""Locks between processes that end with the process that holds them, however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def try_lock(path: str | Path) -> Iterator[bool]:
    """Hold a POSIX record lock on a file, which network file systems pass on between machines.

    Args:
        path: Of the file; made where it is missing, and left there.

    Yields:
        False if another process holds the lock; True if this one does, or if the file system
        knows no locks.

    Raises:
        OSError: The file cannot be opened.
    """
    with open(path, "ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield False
            return
        except OSError:
            pass
        yield True
