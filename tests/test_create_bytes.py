"""New files are created whole, once, and never over another."""

import errno
import multiprocessing
import os
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


def _claim(folder: Path, worker: int) -> int:
    won = 0
    for index in range(30):
        try:
            create_bytes(folder / f"{index}", str(worker).encode())
            won += 1
        except FileExistsError:
            pass
    return won


def test_exactly_one_of_several_processes_wins(tmp_path: Path) -> None:
    with multiprocessing.get_context("forkserver").Pool(4) as pool:
        wins = pool.starmap(_claim, [(tmp_path, worker) for worker in range(4)])
    owners = [int((tmp_path / f"{index}").read_text()) for index in range(30)]
    assert [owners.count(worker) for worker in range(4)] == wins
