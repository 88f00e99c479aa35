"""What the commands share: arguments of a run, and how they end when they cannot run."""

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attnseg
from attnseg.compat import MissingOperatorError, in_group, leave_group
from attnseg.errors import InputError

LAUNCHERS = ("none", "pytorch", "slurm")
TRACEBACK_VARIABLE = "ATTNSEG_TRACEBACK"
_DATASETS = Path(attnseg.__file__).parent / "datasets"


class UsageError(Exception):
    """The command cannot run as given; the message names what is wrong and the fix."""


@contextmanager
def input_errors(*more: type[Exception]) -> Iterator[None]:
    """Turn errors about files and values into a UsageError of the same text.

    Goes around the code that reads a config, opens a data set or converts one, and around a test,
    never around a training: there an error is the program's, and its traceback is wanted. See
    :func:`training_errors`.

    Args:
        more: Errors that mean bad input besides ValueError and a missing or existing file.

    Raises:
        UsageError: In place of any of these.
    """
    try:
        yield
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, *more) as error:
        raise UsageError(_message(error)) from error


@contextmanager
def training_errors() -> Iterator[None]:
    """Turn errors in the midst of a training into a UsageError, if the input is surely at fault.

    That is so for an InputError, and for what our own data sets and transforms raise on purpose;
    a ValueError out of any other line keeps its traceback.

    Raises:
        UsageError: In place of these.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if isinstance(error, InputError) or _raised_by_datasets(error):
            raise UsageError(_message(error)) from error
        raise


def _raised_by_datasets(error: Exception) -> bool:
    """Whether the innermost line is a ``raise`` of our data sets, be it in a worker process."""
    _, inside, text = str(error).partition("Original Traceback")
    if inside:
        found = re.findall(r'^ +File "(.+)", line \d+, in .+\n +(.+)$', text, re.MULTILINE)
        file, line = found[-1] if found else ("", "")
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        file, line = frame.filename, frame.line or ""
    return line.lstrip().startswith("raise ") and _DATASETS in Path(file).parents


def _message(error: Exception) -> str:
    """The text of an error, without the quotes of a KeyError and a data worker's traceback."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if "Original Traceback" in text:
        # A class that is not Python's own stands there with its module.
        text = re.split(rf"^(?:[\w.]+\.)?{type(error).__name__}: ", text, flags=re.MULTILINE)[-1]
        text = text.rstrip("\n")
    return f"{text} ({TRACEBACK_VARIABLE}=1 shows where)" if isinstance(error, KeyError) else text


def run_command(command: Callable[[], Any]) -> None:
    """Run a tool's main function; a UsageError becomes one line and exit status 2.

    So does a call of an operator that is not compiled: what is missing is on the machine.

    With the environment variable ``ATTNSEG_TRACEBACK=1``, the traceback comes before the line.
    """
    status = 0
    try:
        command()
    except (UsageError, MissingOperatorError) as error:
        if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    except SystemExit as end:
        # Threads of gloo that outlive the interpreter abort it: the status would be another one.
        if not isinstance(end.code, int):
            raise
        status = end.code
    except Exception:
        if not in_group():
            raise
        traceback.print_exc()
        status = 1
    leave_group()
    if status:
        raise SystemExit(status)


def run_parser(description: str | None) -> argparse.ArgumentParser:
    """Parser of a command that builds a Runner from a config; the caller adds its own."""
    from attnseg.apis.config_errors import OptionAction

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("--work-dir", help="run folder (default: ./work_dirs/<config>)")
    parser.add_argument("--data", help="takes the place of the config's data_root")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    # torch's old launcher gives the rank as an argument; torchrun sets the variable.
    parser.add_argument("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)
    return parser


def train_parser(description: str | None) -> argparse.ArgumentParser:
    """Parser of a training; a submission reads the same, so that errors show before it waits."""
    parser = run_parser(description)
    parser.add_argument("--resume", nargs="?", const="auto", help="checkpoint, or nothing: newest")
    parser.add_argument("--load-from", dest="checkpoint", help="weights to start from")
    parser.add_argument("--amp", action="store_true", help="mixed precision (needs a GPU)")
    parser.add_argument(
        "--auto-scale-lr",
        nargs="?",
        const="linear",
        choices=("linear", "sqrt"),
        help="learning rate by batch and number of processes (default: linear)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--max-iters", type=int, help="length; the schedule follows, resumed or not"
    )
    length.add_argument("--max-epochs", type=int, help="the same, for configs in epochs")
    return parser


def parse_run(
    parser: argparse.ArgumentParser, given: Sequence[str] | None = None
) -> dict[str, Any]:
    """Read the command line of :func:`run_parser` as keyword arguments of ``build_config``.

    Args:
        parser: With what the caller added.
        given: The words; None: those that this process was started with.
    """
    arguments = vars(parser.parse_args(given))
    rank = arguments.pop("local_rank")
    if rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(rank))
    return arguments
