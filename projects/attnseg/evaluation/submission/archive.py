"""Zip files: written atomically, read without extracting them."""

import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray

from attnseg._atomic import replace_file
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.png import WrongImage, decode_png
from attnseg.zip_limits import check_members

_EPOCH = (1980, 1, 1, 0, 0, 0)


class ZipWriter:
    """Adds members; equal content gives equal bytes, as no clock time is stored."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, data: bytes, compress: bool = False) -> None:
        """Add a whole file; PNG data are not compressed a second time."""
        self._archive.writestr(self._info(name, compress), data)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Add a file piece by piece, compressed; no other may be added meanwhile."""
        with self._archive.open(self._info(name, True), "w", force_zip64=True) as stream:
            yield stream

    @staticmethod
    def _info(name: str, compress: bool) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(name, _EPOCH)
        info.external_attr = 0o644 << 16
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        return info


@contextmanager
def new_zip(path: Path, check: Callable[[Path], None]) -> Iterator[ZipWriter]:
    """Write a zip file that takes its place only when it is complete and has passed a check.

    Args:
        path: Target; an old file is intact until the rename. Its folder is created.
        check: Called with the complete temporary file; raises to keep it from the target.

    Raises:
        OSError: If it cannot be written (a full disk).
    """
    with replace_file(path) as file:
        archive = zipfile.ZipFile(file, "w")
        try:
            yield ZipWriter(archive)
            archive.close()
        except BaseException:
            # Closing tries to write the directory, which a full disk refuses once more.
            with suppress(OSError, ValueError):
                archive.close()
            raise
        file.flush()
        check(Path(file.name))


class ZipReader:
    """A zip file whose members are read one at a time, never extracted.

    Raises:
        ValueError: If the file is cut off or no zip file.
        FileNotFoundError: If there is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"'{path}' does not exist; expected a zip file.")
        try:
            self._archive = zipfile.ZipFile(path)
            check_members(self._archive)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise ValueError(f"'{path}' is cut off or no zip file ({error}).") from error
        names = (info.filename for info in self._archive.infolist())
        self.names = [name for name in names if not name.endswith("/")]

    def __enter__(self) -> "ZipReader":
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()

    def read(self, name: str) -> bytes:
        """Read a member.

        Raises:
            ValueError: If it is damaged (its checksum is verified) or encrypted.
        """
        try:
            return self._archive.read(name)
        except _DAMAGE as error:
            raise ValueError(f"'{name}' is damaged ({error})") from error

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Read a member piece by piece; damage is a ValueError as in `read`."""
        try:
            with self._archive.open(name) as stream:
                yield stream
        except _DAMAGE as error:
            raise ValueError(f"'{name}' is damaged ({error})") from error

    def check_names(self, findings: Findings) -> list[str]:
        """Report members outside the archive's own tree, repeated and nameless; return the rest."""
        good: dict[str, None] = {}
        for name in self.names:
            path = PurePosixPath(name)
            if not path.parts:
                findings.error("member without a file name", repr(name))
            elif path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
                findings.error("member that would be unpacked outside its folder", name)
            elif name in good:
                findings.error("member that is in the zip file more than once", name)
            else:
                good[name] = None
        return list(good)


_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # encrypted, or a compression that Python lacks
)


def checked_image(
    archive: ZipReader,
    name: str,
    modes: tuple[str, ...],
    size: tuple[int, int] | None,
    findings: Findings,
) -> NDArray[np.generic] | None:
    """Read an image member; report what is wrong with it and return None then."""
    try:
        return decode_png(archive.read(name), name, modes, size)
    except WrongImage as error:
        findings.error(error.kind, error.example)
    except ValueError as error:
        findings.error("damaged file", error)
    return None
