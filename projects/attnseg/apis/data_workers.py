"""A data worker that dies ends its run in one line: which loader, why, and what to do."""

import gc
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.engine.checkpoint_files import newest_valid
from attnseg.errors import InputError

_DEATH = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.+?)\.?\s*$", re.DOTALL)
_SPLITS = ("train", "val", "test")
_PATIENCE = 2.0


@contextmanager
def lost_workers(runner: Any) -> Iterator[None]:
    """Turn the death of a data worker, in a training or a test, into a UsageError.

    torch notices it at once, also of a worker that waits for the next validation, and tells the
    number of the process alone.

    Args:
        runner: Whose loops run inside.

    Raises:
        UsageError: A worker was killed or has ended by itself.
    """
    try:
        yield
    except Exception as error:
        death = _death_in(error)
        if death is None and isinstance(error, (OSError, EOFError)):
            death = _death_behind()
        if death is None:
            raise
        raise UsageError(_explain(runner, *death)) from error


def _death_in(error: BaseException | None) -> tuple[set[int], str] | None:
    """Processes that died, and torch's words for it; None if the error is another one."""
    while error is not None:
        found = _DEATH.match(str(error)) if isinstance(error, RuntimeError) else None
        if found:
            return {int(pid) for pid in found[1].split(",")}, found[2]
        error = error.__cause__ or error.__context__
    return None


def _death_behind() -> tuple[set[int], str] | None:
    """The same for a broken connection: of a worker that dies as a batch is taken from it.

    The connection breaks before the process is seen to have ended, up to ``_PATIENCE`` seconds.
    """
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            for worker in (worker for one in _iterators() for worker in one._workers):
                if worker.exitcode and worker.exitcode < 0:
                    name = signal.strsignal(-worker.exitcode)
                    return {worker.pid}, f"is killed by signal: {name}"
                if worker.exitcode:
                    return {worker.pid}, f"exited unexpectedly with exit code {worker.exitcode}"
            time.sleep(0.02)
        except RuntimeError as error:  # torch learns of it by a signal, which may come here
            return _death_in(error)
    return None


def _iterators() -> list[Any]:
    """Those of all loaders with workers; mmengine and torch keep them to themselves."""
    return [
        item for item in gc.get_objects() if type(item).__name__ == "_MultiProcessingDataLoaderIter"
    ]


def _explain(runner: Any, pids: set[int], words: str) -> str:
    name, loader = _loader_of(runner, pids)
    who = f"process {', '.join(map(str, sorted(pids)))}"
    at = f"{name}.num_workers={loader.num_workers}" if loader else f"num_workers of {name}"
    if "Bus error" in words:
        reason = "the shared memory is full (df -h /dev/shm)"
        fix = f"Enlarge it (docker: --shm-size or --ipc=host), or lower {at} or the batch size"
    elif "Killed" in words or words == "exited unexpectedly":
        reason = "usually the system does that when memory runs out (dmesg tells)"
        fix = f"Give more memory, or lower {at} or the batch size"
    else:
        reason = "the code that reads the data crashed"
        fix = f"Run again with {name}.num_workers=0 to see where"
    then = "" if name == "test_dataloader" else _next_start(runner)
    return f"a worker of {name} ({who}) {words}: {reason}. {fix}.{then}"


def _loader_of(runner: Any, pids: set[int]) -> tuple[str, Any]:
    """Config key and loader whose worker it was."""
    datasets = [
        one._dataset for one in _iterators() if pids & {worker.pid for worker in one._workers}
    ]
    for split in _SPLITS:
        # The runner's properties would build loops that the run has no need of.
        loader = getattr(getattr(runner, f"_{split}_loop", None), "dataloader", None)
        if any(loader is not None and loader.dataset is one for one in datasets):
            return f"{split}_dataloader", loader
    return "a dataloader", None


def _next_start(runner: Any) -> str:
    try:
        found = newest_valid(runner.work_dir).path
    except InputError as error:
        return f" {error}"
    if found is None:
        return " There is no checkpoint yet: start anew."
    return f" Then go on from {found} with --resume."
