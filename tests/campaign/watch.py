"""One input: what became of it, and what it left behind."""

import contextlib
import faulthandler
import io
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import cv2

from attnseg.apis.command import UsageError

# Only to end what hangs: no input takes a second.
_DEADLINE = 120


@dataclass
class Case:
    """A damaged input and what reads it.

    Attributes:
        name: What was done to which input.
        run: Reads it as the tools do.
        words: The message of an error must hold one of these: a file or a key.
        check: Is given what ``run`` returned, compares it with an independent reader and returns
            what differs.
        outputs: Folder that must not be changed by an error.
        whole: The input is not damaged, and must be read.
    """

    name: str
    run: Callable[[], Any]
    words: tuple[str, ...]
    check: Callable[[Any], str | None] | None = None
    outputs: Path | None = None
    whole: bool = False


Cases = Callable[[Random, Path], Iterator[Case]]


@dataclass
class Report:
    """Of one category: counts, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)


def examine(case: Case, report: Report) -> None:
    """Read one input."""
    before = _files(case.outputs)
    printed = io.StringIO()
    report.counts["tried"] += 1
    faulthandler.dump_traceback_later(_DEADLINE, exit=True)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            found = case.run()
            differs = case.check(found) if case.check else None
        report.counts["successes"] += 1
        report.counts["compared"] += case.check is not None
        if differs:
            report.defects.append(f"{case.name}: wrong result without a word: {differs:.300}")
    except UsageError as error:
        report.counts["errors"] += 1
        text = str(error)
        if case.whole:
            report.defects.append(f"{case.name}: a whole input is refused: {text:.300}")
        if not any(word in text for word in case.words):
            report.defects.append(
                f"{case.name}: the message names none of {case.words}: {text:.300}"
            )
        left = [name for name in _files(case.outputs) - before if not _is_whole_image(name, case)]
        if left:
            report.defects.append(f"{case.name}: left {sorted(left)} behind: {text:.200}")
    except SystemExit as end:
        # Findings of a validation or a gate: printed, and told by the status.
        report.counts["errors"] += 1
        if case.whole or end.code not in (1, 2) or not printed.getvalue().strip():
            report.defects.append(f"{case.name}: status {end.code!r}: {printed.getvalue():.300}")
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
        report.defects.append(f"{case.name}: {type(error).__name__}: {error!s:.200} ({where})")
        if isinstance(error, KeyboardInterrupt):
            raise
    finally:
        faulthandler.cancel_dump_traceback_later()
    if left := [name for name in _files(case.outputs) if name.endswith(".tmp")]:
        report.defects.append(f"{case.name}: left {left} behind")


def _is_whole_image(name: str, case: Case) -> bool:
    """Images of a conversion that ended early may stay, if each is whole; the json is last."""
    image = cv2.imread(str(case.outputs / name), cv2.IMREAD_UNCHANGED)
    return image is not None and name.endswith(".png")


def _files(folder: Path | None) -> set[str]:
    if folder is None:
        return set()
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
