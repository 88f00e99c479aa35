"""Names in a sweep file: which are known, and how values are called."""

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from attnseg.apis.command import UsageError


def label_of(value: Any) -> str:
    """How a value of an axis over a config key is called in tables and folders."""
    return value if isinstance(value, str) else repr(value)


def check_names(names: Iterable[Any], known: Collection[str], where: str) -> None:
    """Refuse what is not known.

    Args:
        names: What the file gives.
        known: What it may give.
        where: The place in the file, for the message.

    Raises:
        UsageError: Names the first one that is unknown and the nearest of those known.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            fix = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            raise UsageError(f"{where}: {name!r} is not known. {fix}")
