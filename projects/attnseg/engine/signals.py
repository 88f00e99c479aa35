"""Signals that ask a training to stop: noted when they come, answered between two steps."""

import signal
from types import FrameType

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
EXIT_STATUS = 75
"""Of a training that was told to stop and has saved: EX_TEMPFAIL, "try again"."""

_received: list[int] = []


class Preempted(SystemExit):
    """The training has saved and ends with :data:`EXIT_STATUS`."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)


def listen() -> None:
    """Note SIGUSR1 and SIGTERM from here on instead of dying of them; for the main thread.

    SIGUSR1 is what ``sbatch --signal=USR1@120`` sends ahead of the time limit; SIGTERM is what
    preemption and torchrun send.
    """
    for number in SIGNALS:
        signal.signal(number, _note)


def stop_listening() -> None:
    """Give both signals back their default meaning, and forget what came."""
    _received.clear()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def answered() -> None:
    """Forget what came: it was acted on."""
    _received.clear()


def received() -> str | None:
    """Name of the first signal that came since :func:`listen`; None if none did."""
    return signal.Signals(_received[0]).name if _received else None


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)
