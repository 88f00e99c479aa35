"""Files are replaced whole or not at all."""

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from attnseg._atomic import replace_file
from attnseg.engine.atomic import to_plain, write_bytes, write_json, write_text


def test_writes_and_creates_folders(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b.bin", b"\x00\xff")
    write_text(tmp_path / "c.txt", "grün")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "c.txt").read_text(encoding="utf-8") == "grün"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interruption_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "result.json"
    write_text(file, "old")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, killed)
    with pytest.raises(KeyboardInterrupt):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_streamed_files_appear_at_the_end(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    for stop in (True, False):
        with suppress(KeyboardInterrupt), replace_file(link) as file:
            file.write(b"new")
            file.seek(0)
            assert file.read() == b"new" and Path(file.name).parent == tmp_path
            assert target.read_text() == "old"
            if stop:
                raise KeyboardInterrupt
        assert target.read_text() == ("old" if stop else "new")
    assert link.is_symlink() and target.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    file, texts = tmp_path / "f", ("a" * 200_000, "b" * 100_000)
    write_text(file, texts[0])
    done = threading.Event()

    def writer() -> None:
        for turn in range(40):
            write_text(file, texts[turn % 2])
        done.set()

    thread = threading.Thread(target=writer)
    thread.start()
    while not done.is_set():
        assert file.read_text() in texts
    thread.join()


def test_mode_of_the_old_file_and_umask_are_kept(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    old.chmod(0o640)
    mask = os.umask(0o022)
    try:
        write_bytes(old, b"")
        write_bytes(new, b"")
    finally:
        os.umask(mask)
    assert (old.stat().st_mode & 0o777, new.stat().st_mode & 0o777) == (0o640, 0o644)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


def test_json_keeps_every_digit_and_writes_nan_as_null(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    third = 1 / 3
    write_json(
        file,
        {
            "third": third,
            "nan": float("nan"),
            "inf": np.float64("-inf"),
            "np": np.float32(0.25),
            "array": np.arange(3),
            "tensor": torch.tensor([True, False]),
            "path": Path("a/b"),
            7: {2, 1},
        },
    )
    assert json.loads(file.read_text()) == {
        "third": third,
        "nan": None,
        "inf": None,
        "np": 0.25,
        "array": [0, 1, 2],
        "tensor": [True, False],
        "path": "a/b",
        "7": [1, 2],
    }


def test_json_names_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        write_json(tmp_path / "r.json", {"x": object()})
    assert not (tmp_path / "r.json").exists()
    assert to_plain(None) is None
