"""How a command ends when it cannot run as given."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

TRACEBACK_VARIABLE = "ATTNSEG_TRACEBACK"


class UsageError(Exception):
    """The command cannot run as given; the message names what is wrong and the fix."""


@contextmanager
def input_errors(*more: type[Exception]) -> Iterator[None]:
    """Turn errors about files and values into a UsageError of the same text.

    Goes around the code that reads a config, opens a data set or converts one, never around a
    training: there an error is the program's, and its traceback is wanted.

    Args:
        more: Errors that mean bad input besides ValueError and a missing or existing file.

    Raises:
        UsageError: In place of any of these.
    """
    try:
        yield
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, *more) as error:
        raise UsageError(str(error)) from error


def run_command(command: Callable[[], Any]) -> None:
    """Run a tool's main function; a UsageError becomes one line and exit status 2.

    With the environment variable ``ATTNSEG_TRACEBACK=1``, the traceback comes before the line.
    """
    try:
        command()
    except UsageError as error:
        if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
