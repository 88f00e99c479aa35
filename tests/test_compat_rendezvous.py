"""Processes of a job that find each other among others that want the same ports."""

import os
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.server import HTTPServer, SimpleHTTPRequestHandler
from typing import Any

import pytest
from torch.distributed import TCPStore

from attnseg import _compat_rendezvous as rendezvous
from attnseg._compat_rendezvous import job_port, job_token, join_job

SECONDS = timedelta(seconds=20)


@pytest.fixture
def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A first port of this test's own, whose next ones are free too."""
    monkeypatch.setattr(rendezvous, "_ANSWER", 0.5)
    for number in range(zlib.crc32(request.node.nodeid.encode()) + os.getpid(), sys.maxsize):
        port = job_port(str(number))
        ports = rendezvous._candidates(port)[:6]
        ports += rendezvous._candidates(port + rendezvous._TOLD_AT)[:6]
        if not any(map(in_use, ports)):
            return port
    raise AssertionError


def in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def members(
    port: int, size: int, token: str, timeout: timedelta = SECONDS
) -> list[tuple[TCPStore, int]]:
    """What each rank gets, the last rank being the first to start."""
    found: dict[int, Any] = {}

    def join(rank: int) -> None:
        found[rank] = join_job("127.0.0.1", port, rank, size, token, timeout)

    threads = [threading.Thread(target=join, args=(rank,)) for rank in reversed(range(size))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank] for rank in range(size)]


def test_all_ranks_get_the_first_port_where_it_is_free(port: int) -> None:
    joined = members(port, 3, "mine")
    assert {found for _, found in joined} == {port}
    joined[1][0].set("key", "value")
    assert joined[2][0].get("key") == joined[0][0].get("key") == b"value"


@contextmanager
def other_program(kind: str, port: int) -> Iterator[None]:
    """Something that has a port of 127.0.0.1, and knows nothing of us."""
    if kind == "silent":
        with socket.create_server(("127.0.0.1", port)):
            yield
    elif kind == "http":
        with HTTPServer(("127.0.0.1", port), SimpleHTTPRequestHandler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            yield
            server.shutdown()
            thread.join()
    else:
        store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
        yield
        del store


@pytest.mark.parametrize("kind", ["http", "silent", "store"])
def test_ports_of_other_programs_are_passed_over(port: int, kind: str) -> None:
    candidates = rendezvous._candidates(port)
    told_at = rendezvous._candidates(port + rendezvous._TOLD_AT)[0]
    with ExitStack() as programs:
        for number in (*candidates[:2], told_at):
            programs.enter_context(other_program(kind, number))
        joined = members(port, 2, "mine")
    assert {found for _, found in joined} == {candidates[2]}
    joined[1][0].set("key", "value")
    assert joined[0][0].get("key") == b"value"


def test_two_jobs_that_want_the_same_port_do_not_mix(port: int) -> None:
    results: dict[str, list[tuple[TCPStore, int]]] = {}
    tokens = ("cluster/1/0/-/0", "cluster/12001/0/-/0", "cluster/1/1/-/0")
    threads = [
        threading.Thread(target=lambda name=token: results.update({name: members(port, 3, name)}))
        for token in tokens
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ports = {token: {found for _, found in results[token]} for token in tokens}
    assert all(len(found) == 1 for found in ports.values())
    assert len(set.union(*ports.values())) == len(tokens)
    for token in tokens:
        results[token][2][0].set("whose", token)
    for token in tokens:
        assert results[token][0][0].get("whose") == token.encode()


def test_a_second_start_with_the_same_token_does_not_meet_the_first(port: int) -> None:
    first = members(port, 2, "mine")
    first[0][0].set("run", "first")
    second = members(port, 2, "mine")
    assert first[0][1] != second[0][1] == second[1][1]
    assert not second[1][0].check(["run"])


def test_a_rank_that_finds_nobody_says_where_it_looked(port: int) -> None:
    with pytest.raises(RuntimeError, match=r"rank 1 .*of mine on 127.0.0.1.*Set|set MASTER_ADDR"):
        join_job("127.0.0.1", port, 1, 2, "mine", timedelta(seconds=0.3))


def test_no_free_port_is_a_clear_error(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "_TRIES", 2)
    with ExitStack() as programs:
        for number in rendezvous._candidates(port):
            programs.enter_context(other_program("silent", number))
        with pytest.raises(RuntimeError, match="none of 2 ports .* is free.*Set MASTER_PORT"):
            join_job("127.0.0.1", port, 0, 2, "mine", SECONDS)


@pytest.mark.parametrize(
    ("job", "step", "port"),
    [("0", "0", 20000), ("4711", "0", 24711), ("4711", "2", 20689), ("12000", "1", 23989)],
)
def test_job_port_by_hand(job: str, step: str, port: int) -> None:
    assert job_port(job, step) == port


def test_the_token_tells_starts_apart_and_is_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("CLUSTER_NAME", "JOB_ID", "STEP_ID", "RESTART_COUNT", "JOB_UID")
    for name in names:
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    seen = {job_token()}
    for name in names:
        monkeypatch.setenv(f"SLURM_{name}", "a 1")
        seen.add(job_token())
    assert len(seen) == 6 and all(len(token.split()) == 1 for token in seen)


# One rank of one job. A line of stdin is a start, the next its end: so all are there together.
RANK = """
import gc, os, sys
from attnseg._compat_dist import install_dist, leave_group
install_dist()
import torch
from mmengine.dist import all_reduce, init_dist
# What is imported need not be searched at the end of each start.
gc.freeze()
for line in sys.stdin:
    init_dist("slurm")
    total = torch.tensor(int(sys.argv[1]))
    all_reduce(total)
    print(total.item(), os.environ["MASTER_PORT"], flush=True)
    del total
    sys.stdin.readline()
    leave_group()
"""


@pytest.mark.slow
def test_fifty_starts_of_two_jobs_on_one_node(port: int) -> None:
    # Their numbers are equal modulo the number of ports: they want the same one.
    jobs = (port, port + rendezvous._PORTS)
    processes = {}
    for job in jobs:
        for rank in range(2):
            environment = {
                **{k: v for k, v in os.environ.items() if k not in ("MASTER_ADDR", "MASTER_PORT")},
                **{"SLURM_JOB_ID": str(job), "SLURM_PROCID": str(rank), "SLURM_NTASKS": "2"},
                **{"SLURM_NODELIST": "localhost", "MASTER_ADDR": "localhost"},
                "CUDA_VISIBLE_DEVICES": "",
            }
            processes[job, rank] = subprocess.Popen(
                # Sums of 1 + 2 and 10 + 20 tell the jobs apart.
                [sys.executable, "-c", RANK, str((1 + rank) * (10 if job > port else 1))],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
    moved = 0
    try:
        for _ in range(50):
            for process in processes.values():
                process.stdin.write("go\n")
            answers = [process.stdout.readline().split() for process in processes.values()]
            totals, ports = zip(*answers, strict=True)
            assert totals == ("3", "3", "30", "30")
            assert ports[0] == ports[1] != ports[2] == ports[3]
            for process in processes.values():
                process.stdin.write("end\n")
            moved += len({ports[0], ports[2]} - {str(job_port(str(port)))})
        for process in processes.values():
            process.stdin.close()
        assert [process.wait(timeout=60) for process in processes.values()] == [0] * 4
    finally:
        for process in processes.values():
            process.kill()
    # The test would prove little if they had never met.
    assert moved >= 50
