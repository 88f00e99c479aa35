"""A config is a program: what goes wrong while it is read is said in one line, with its file."""

import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from attnseg.apis.command import UsageError
from attnseg.errors import InputError

# Who reads a file of a config -> its local variable with the path: mmengine, and our own reader.
_READERS = {"_file2dict": "filename", "_read": "path"}


@contextmanager
def config_errors(path: str | Path) -> Iterator[None]:
    """Name the config, and the base or line where it is another one, in an error of reading it.

    Raises:
        UsageError: In place of any exception but an exit or an interrupt.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        if isinstance(error, InputError) and Path(path).name in str(error):
            raise UsageError(str(error)) from error
        file, line = _place(error, str(path))
        place = f"{path}" if file == str(path) else f"{path}, in its base {file}"
        place += "" if line is None else f", line {line}"
        raise UsageError(f"{place}: {_reason(error)}") from error


@contextmanager
def option_errors(options: Mapping[str, Any]) -> Iterator[None]:
    """Name the options in an error of merging them into a config.

    Raises:
        UsageError: In place of the errors that mmengine raises there.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        given = ", ".join(map(str, options))
        raise UsageError(f"--cfg-options {given:.200}: {_reason(error)}") from error


class OptionAction(DictAction):
    """mmengine's reader of ``key=value``, which says of what it cannot read that it cannot."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Read the words of one option."""
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, ValueError, RecursionError) as error:
            reason = _reason(error)
            parser.error(f"argument {option_string}: {' '.join(values)[:200]!r}: {reason}")


def _place(error: Exception, path: str) -> tuple[str, int | None]:
    """The file that was being read, and the line of it, if the error tells."""
    file, line = path, None
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        found = frame.tb_frame.f_locals.get(_READERS.get(code.co_name, ""))
        if isinstance(found, (str, Path)) and Path(found).is_file():
            file = str(found)
        frame = frame.tb_next
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        line = own[-1].lineno if own else None
    return file, line


def _reason(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"syntax error: {error.msg}"
    if isinstance(error, RecursionError):
        return "its bases lead back to itself, or its values lie too deep"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"{type(error).__name__}: {text}"
