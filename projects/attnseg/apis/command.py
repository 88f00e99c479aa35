"""How a command ends when it cannot run as given."""

import sys
from collections.abc import Callable
from typing import Any


class UsageError(Exception):
    """The command cannot run as given; the message names what is wrong and the fix."""


def run_command(command: Callable[[], Any]) -> None:
    """Run a tool's main function; a UsageError becomes one line and exit status 2."""
    try:
        command()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
