"""How the processes of one Slurm step find each other, whatever else runs on their nodes."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

# Below the range from which Linux hands out ports by itself (32768 and up).
_FIRST_PORT, _PORTS = 20000, 12000
# Both without a common factor with _PORTS. A job tries many ports, far from those of its
# neighbours in time, which have the next numbers.
_STRIDE, _STEP_STRIDE, _TRIES = 641, 3989, 32
# Where rank 0 tells the port of the store, as seen from where it first looks for one for it.
_TOLD_AT = 6007
# Seconds for one answer of a server that may be anybody's.
_ANSWER = 3.0
_MAX_LINE = 512


def job_port(job_id: str, step: str = "0") -> int:
    """The port in 20000..31999 that a Slurm step tries first, the same in each of its processes."""
    first, second = (int("".join(filter(str.isdigit, text)) or 0) for text in (job_id, step))
    return _FIRST_PORT + (first + _STEP_STRIDE * second) % _PORTS


def job_token() -> str:
    """What tells this start of this step from all others of the machine, in one word."""
    names = ("CLUSTER_NAME", "JOB_ID", "STEP_ID", "RESTART_COUNT", "JOB_UID")
    values = (os.environ.get(f"SLURM_{name}", "") for name in names)
    return "/".join("".join(value.split()) or "-" for value in values)


def join_job(
    host: str, port: int, rank: int, world_size: int, token: str, timeout: timedelta
) -> tuple[Any, int]:
    """Open the store of this job on rank 0, and find it on the others.

    Rank 0 takes the first free port from ``port`` on for the store, and tells it on the first
    free port of a second sequence. The others ask there, port by port, and again from the start,
    until someone knows their ``token``; so it does no harm if a port is another program's or
    another job's. When all have asked, rank 0 stops to answer: a second start with the same token
    does not meet the first.

    Args:
        host: Rank 0's machine, as the others reach it.
        port: The port to begin with; see :func:`job_port`.
        rank: Of this process, 0..world_size-1.
        world_size: How many processes there are.
        token: One word that all processes of the job know and no other; see :func:`job_token`.
        timeout: How long rank 0 may take, and later each operation of the store.

    Returns:
        A ``torch.distributed.TCPStore``, and its port.

    Raises:
        RuntimeError: Rank 0 was not found in time, or found no free port; names host and ports.
    """
    from torch.distributed import TCPStore

    told_at = _candidates(port + _TOLD_AT)
    if rank > 0:
        store_port = _ask(host, told_at, rank, token, timeout)
        store = TCPStore(host, store_port, timeout=timeout, wait_for_workers=False)
        return store, store_port
    listener = _listen(_candidates(port))
    store_port = listener.getsockname()[1]
    store = TCPStore(
        "127.0.0.1",
        store_port,
        is_master=True,
        timeout=timeout,
        wait_for_workers=False,
        # Bound here, so that nobody takes the port in between.
        master_listen_fd=listener.detach(),
    )
    if world_size > 1:
        arguments = (_listen(told_at), store_port, world_size, token, timeout)
        threading.Thread(target=_tell, args=arguments, daemon=True).start()
    return store, store_port


def _candidates(first: int) -> list[int]:
    return [
        _FIRST_PORT + (first - _FIRST_PORT + number * _STRIDE) % _PORTS for number in range(_TRIES)
    ]


def _listen(ports: list[int]) -> socket.socket:
    """A socket on the first of these ports that is free on all addresses."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    error: OSError | None = None
    for port in ports:
        try:
            return socket.create_server(
                ("", port), family=family, backlog=1024, dualstack_ipv6=dual
            )
        except OSError as reason:
            error = reason
    raise RuntimeError(
        f"--launcher slurm: none of {len(ports)} ports {ports[0]}, {ports[1]}, ... is free "
        f"({error}). Set MASTER_PORT to a free port."
    )


def _tell(
    listener: socket.socket, store_port: int, world_size: int, token: str, timeout: timedelta
) -> None:
    """Answer the other ranks until each knows the port of the store."""
    left = set(range(1, world_size))

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), _lines(connection) as lines:
            asked, _, rank = lines.readline(_MAX_LINE).decode().strip().rpartition(" ")
            if asked != token or int(rank) not in left:
                return
            lines.write(f"{token} {store_port}\n".encode())
            lines.flush()
            # Only a rank that says so has the answer.
            if lines.readline(_MAX_LINE) == b"thanks\n":
                left.discard(int(rank))

    end = time.monotonic() + timeout.total_seconds()
    listener.settimeout(0.2)
    with listener:
        while left and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()


def _ask(host: str, ports: list[int], rank: int, token: str, timeout: timedelta) -> int:
    """The port of the store, from whoever among ``host``'s ``ports`` knows the token."""
    end = time.monotonic() + timeout.total_seconds()
    pause, reason = 0.05, "no answer"
    while True:
        for port in ports:
            try:
                with _lines(socket.create_connection((host, port), _ANSWER)) as lines:
                    lines.write(f"{token} {rank}\n".encode())
                    lines.flush()
                    known, _, number = lines.readline(_MAX_LINE).decode().strip().rpartition(" ")
                    if known == token:
                        lines.write(b"thanks\n")
                        lines.flush()
                        with contextlib.suppress(OSError):
                            # Closed when rank 0 knows: a next start is then told apart.
                            lines.read(1)
                        return int(number)
            except (OSError, ValueError) as error:
                reason = str(error)
        if time.monotonic() > end:
            raise RuntimeError(
                f"--launcher slurm: rank {rank} did not find rank 0 of {token} on {host}, ports "
                f"{ports[0]}, {ports[1]}, ... within {timeout.total_seconds():.0f} s ({reason}). "
                "Does rank 0 run, and do the nodes reach each other? Else set MASTER_ADDR and "
                "MASTER_PORT."
            )
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


@contextlib.contextmanager
def _lines(connection: socket.socket) -> Iterator[Any]:
    with connection:
        connection.settimeout(_ANSWER)
        with connection.makefile("rwb") as lines:
            yield lines
