"""Signals that ask a training to stop: noted when they come, answered between two steps."""

import ctypes
import functools
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader, get_worker_info

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
EXIT_STATUS = 75
"""Of a training that was told to stop and has saved: EX_TEMPFAIL, "try again"."""

_PR_SET_PDEATHSIG = 1

_received: list[int] = []
_before: dict[int, Any] = {}
_mask: list[int] = []


class Preempted(SystemExit):
    """The training has saved and ends with :data:`EXIT_STATUS`."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)


def listen() -> None:
    """Note SIGUSR1 and SIGTERM from here on instead of dying of them.

    SIGUSR1 is what ``sbatch --signal=USR1@120`` sends ahead of the time limit; SIGTERM is what
    preemption and torchrun send. Does nothing outside the main thread, which alone may listen.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        before = signal.signal(number, _note)
        if before is not _note:
            _before[number] = signal.SIG_DFL if before is None else before


def stop_listening() -> None:
    """Give both signals back the meaning they had before, and forget what came."""
    _received.clear()
    for number, before in _before.items():
        signal.signal(number, before)
    _before.clear()


def answered() -> None:
    """Forget what came: it was acted on."""
    _received.clear()


def received() -> str | None:
    """Name of the first signal that came since :func:`listen`; None if none did."""
    return signal.Signals(_received[0]).name if _received else None


def shield_workers(loader: DataLoader) -> None:
    """Have a loader's worker processes leave both signals to the training, and end with it.

    Slurm and torchrun tell every process of a job; a worker that dies of it would end the training
    with an error. A worker that lives on behind a killed training keeps its connections open, so
    that the other processes of the job wait for it.

    Args:
        loader: Before its first worker is started; more than once does no harm.
    """
    if not isinstance(loader.worker_init_fn, _Shielded):
        loader.worker_init_fn = _Shielded(loader.worker_init_fn)


class _Shielded(functools.partial):
    def __new__(cls, original: Any) -> "_Shielded":
        return super().__new__(cls, _init_worker, original)


def _init_worker(original: Any, worker: int) -> None:
    if get_worker_info() is not None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()
        _end_with_parent()
    if original is not None:
        original(worker)


def _obey_parent() -> None:
    """End this worker on SIGTERM from its own training, and on no other."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _end_with_parent() -> None:
    """Have Linux kill this worker at the moment its training dies, where torch's may take 5 s."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)


def _before_fork() -> None:
    """Hold signals back, so that none meets the new process while it would only note it."""
    _mask[:] = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS if _before else ())


def _in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask)


def _in_child() -> None:
    """Have a process of a pool, say, end when it is asked to; the training alone listens."""
    if _before:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask)


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
