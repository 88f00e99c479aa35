"""New files are created whole, once, and never over another."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnseg._atomic import create_bytes


def test_creates_folders_and_refuses_a_second_time(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "record.json"
    create_bytes(file, b"first")
    with pytest.raises(FileExistsError, match="record.json"):
        create_bytes(file, b"second")
    assert file.read_bytes() == b"first"
    assert os.listdir(file.parent) == ["record.json"]


def test_a_broken_link_is_taken_too(tmp_path: Path) -> None:
    (tmp_path / "r").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        create_bytes(tmp_path / "r", b"x")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("taken", [False, True])
def test_file_systems_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    file = tmp_path / "r"
    if taken:
        file.write_bytes(b"old")
        with pytest.raises(FileExistsError):
            create_bytes(file, b"new")
    else:
        create_bytes(file, b"new")
    assert file.read_bytes() == (b"old" if taken else b"new")
    assert os.listdir(tmp_path) == ["r"]


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        create_bytes(tmp_path / "r", b"x")
    assert os.listdir(tmp_path) == []


CLAIM = """
import sys
from pathlib import Path

from attnseg._atomic import create_bytes

folder, worker = Path(sys.argv[1]), sys.argv[2]
won = 0
print("ready", flush=True)
sys.stdin.readline()
for index in range(30):
    try:
        create_bytes(folder / f"{index}", worker.encode())
        won += 1
    except FileExistsError:
        pass
print(won)
"""


def test_exactly_one_of_several_processes_wins(tmp_path: Path) -> None:
    # Not forked: this process has threads.
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path), str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for worker in range(4)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    wins = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    owners = [int((tmp_path / f"{index}").read_text()) for index in range(30)]
    assert [owners.count(worker) for worker in range(4)] == wins
