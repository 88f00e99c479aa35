"""Zip archives that would grow beyond any memory when they are read."""

import zipfile

_RATIO = 200
_LEAST = 1 << 30


def check_members(archive: zipfile.ZipFile) -> None:
    """Refuse members that promise to be far larger than what is stored of them.

    Python and numpy read no more of a member than it promises, so that nothing has to be unpacked
    to know. What grows to less than a gibibyte passes: sparse statistics are packed well.

    Raises:
        ValueError: Naming the member and both sizes.
    """
    for info in archive.infolist():
        if info.file_size > max(_LEAST, _RATIO * info.compress_size):
            raise ValueError(
                f"its part '{info.filename!s:.80}' would grow from {info.compress_size} to "
                f"{info.file_size} bytes, which is refused"
            )
