"""Names of files that stand in files from elsewhere: they may not lead out of their folder."""

import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def fault_of_name(name: str, outside: bool = False) -> str | None:
    """Why a listed name is no path below a folder; None if it is one.

    Subfolders are fine, and so are links on the disk: a data folder may be linked from anywhere.
    Only the text is judged, so that the answer is the same on every machine.

    Args:
        name: As a file lists it.
        outside: Whether it may be of a file elsewhere on this machine.
    """
    parts = re.split(r"[/\\]", name)
    if _CONTROL.search(name):
        return "holds a control character"
    if "://" in name:
        return "is an address, not a file"
    if not name.strip(". ") or parts[-1] in ("", ".", ".."):
        return "names no file"
    if outside:
        return None
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if ".." in parts:
        return "leads out of its folder"
    return None


def check_names(
    names: Iterable[str], source: str, folder: str, fix: str, outside: bool = False
) -> None:
    """Refuse the names of a file of which one leads out of a folder.

    Args:
        names: As the file lists them.
        source: The file, quoted.
        folder: What they must lie in, for the message.
        fix: What to do about it.
        outside: Whether they may be of files elsewhere on this machine.

    Raises:
        ValueError: Naming the file and the name.
    """
    for name in names:
        if fault := fault_of_name(name, outside):
            raise ValueError(
                f"{source} lists the file {name!r:.120}, which {fault}: names must lie below "
                f"{folder}. {fix}"
            )
