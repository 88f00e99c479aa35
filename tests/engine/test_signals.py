"""Signals are noted while a training runs, and mean again what they did when it is over."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from attnseg.apis.command import UsageError
from attnseg.apis.experiment import run_train
from attnseg.engine import signals
from tests.apis.scale_rooms import room_config


@pytest.fixture(autouse=True)
def _default_signals() -> Iterator[None]:
    yield
    signals.stop_listening()


def test_what_signals_meant_before_comes_back() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: came.append(number))
    try:
        signals.listen()
        signals.listen()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.received() == "SIGUSR1" and not came
        signals.stop_listening()
        assert signals.received() is None
        os.kill(os.getpid(), signal.SIGUSR1)
        assert came == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_training_that_fails_listens_no_more(demo_set: Path, tmp_path: Path) -> None:
    cfg = room_config("maskattn_unet", demo_set, tmp_path, resume=None)
    cfg.load_from = str(tmp_path / "gone.pth")
    with pytest.raises(UsageError, match=r"gone\.pth"):
        run_train(cfg)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_only_the_main_thread_listens() -> None:
    thread = threading.Thread(target=signals.listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


FORKS = """
import multiprocessing, time
from attnseg.engine import signals

signals.listen()
process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
process.start()
process.terminate()
process.join(30)
print(process.exitcode)
process.kill()
"""


def test_a_process_that_is_forked_while_listening_can_be_ended() -> None:
    # Of a process of its own: this one has threads, with which a fork may hang for other reasons.
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=90)
    assert done.stdout.split() == [f"{-signal.SIGTERM:d}"], done.stderr


class _Stubborn:
    """Ends its own process, or would."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return index


def _early(worker: int) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_worker_leaves_the_signal_to_the_training() -> None:
    signals.listen()
    loader = DataLoader(_Stubborn(), num_workers=1, worker_init_fn=_early)
    signals.shield_workers(loader)
    assert [int(index) for index in loader] == [0, 1]
    assert signals.received() is None


class _Busy:
    """Says which process loads, and takes its time."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        time.sleep(60 if index else 0)
        return os.getpid()


def _train(sender: Connection) -> None:
    loader = DataLoader(_Busy(), num_workers=1, multiprocessing_context="fork")
    signals.shield_workers(loader)
    for worker in loader:
        sender.send(int(worker))


@pytest.mark.skipif(sys.platform != "linux", reason="torch's own watch alone, which takes longer")
def test_a_worker_ends_with_a_training_that_is_killed() -> None:
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    training = context.Process(target=_train, args=(sender,))
    training.start()
    assert receiver.poll(20)
    worker = receiver.recv()
    training.kill()
    training.join()
    end = time.monotonic() + 5
    while _runs(worker) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    """Whether it is there, and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
