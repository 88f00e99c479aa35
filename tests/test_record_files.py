"""Records on the disk: numbered, never overwritten, whole or absent."""

import errno
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from attnseg import _atomic
from attnseg.per_image import ImageRef, PerImageTable, read_tables
from attnseg.record_files import copy_record, write_record


def _record(identity: str = "x", predictions: str | None = None) -> dict:
    return {"id": identity, "predictions": predictions, "value": 1 / 3}


def _table(value: int = 0) -> PerImageTable:
    arrays = {"areas": np.array([[value]])}
    return PerImageTable("SemanticMetric", "semantic", {}, ("a",), (ImageRef(1, ""),), arrays)


def _value(file: Path) -> int:
    return int(read_tables(file)["semantic"].arrays["areas"][0, 0])


def test_names_are_numbered_in_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "run/time"
    paths = [
        write_record(folder, _record("a"), [_table(1)]),
        write_record(folder, _record("b")),
        write_record(folder, _record("c"), [_table(3)]),
    ]
    assert [path.name for path in paths] == ["record.json", "record-2.json", "record-3.json"]
    contents = [json.loads(path.read_text()) for path in paths]
    assert [content["id"] for content in contents] == ["a", "b", "c"]
    names = [content["per_image"] for content in contents]
    assert names == ["per_image.npz", None, "per_image-3.npz"]
    assert [_value(folder / name) for name in names if name] == [1, 3]
    assert len(list(folder.iterdir())) == 5
    assert contents[0]["value"] == 1 / 3


def test_statistics_without_a_record_keep_their_name(tmp_path: Path) -> None:
    (tmp_path / "per_image.npz").write_bytes(b"another's")
    assert write_record(tmp_path, _record(), [_table()]).name == "record-2.json"
    assert (tmp_path / "per_image.npz").read_bytes() == b"another's"


def _write_many(folder: str, shared: str, number: int, start: object) -> None:
    start.wait()
    for turn in range(5):
        path = write_record(folder, _record(f"{number}-{turn}"), [_table(10 * number + turn)])
        copy_record(path, shared)


def test_eight_processes_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    start = context.Event()
    folder, shared = tmp_path / "time", tmp_path / "results"
    arguments = [(str(folder), str(shared), number, start) for number in range(8)]
    processes = [context.Process(target=_write_many, args=item) for item in arguments]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    expected = {f"{number}-{turn}" for number in range(8) for turn in range(5)}
    for place in (folder, shared):
        records = [json.loads(path.read_text()) for path in place.glob("*.json")]
        assert len(records) == 40 and {record["id"] for record in records} == expected
        for record in records:
            number, turn = map(int, record["id"].split("-"))
            assert _value(place / record["per_image"]) == 10 * number + turn
        assert len(list(place.iterdir())) == 80


def _full(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_names_the_file_and_leaves_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(tmp_path, _record("old"), [_table(1)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(_atomic.os, "fsync", _full)
    with pytest.raises(OSError, match=r"cannot write.*No space left.*record-2\.json"):
        write_record(tmp_path, _record("new"))
    with pytest.raises(OSError, match="No space left"):
        write_record(tmp_path, _record("new"), [_table(2)])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    assert write_record(tmp_path, _record("new")).name == "record-2.json"


def test_a_disk_that_is_full_for_the_record_only_leaves_no_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attnseg import record_files

    create = record_files.create_bytes

    def create_small(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            _full()
        create(path, data)

    monkeypatch.setattr(record_files, "create_bytes", create_small)
    with pytest.raises(OSError, match=r"record\.json"):
        write_record(tmp_path, _record(), [_table()])
    assert list(tmp_path.iterdir()) == []


def test_a_copy_brings_its_statistics_and_finds_its_predictions(tmp_path: Path) -> None:
    path = write_record(tmp_path / "run/time", _record("x", "../predictions"), [_table(7)])
    target = copy_record(path, tmp_path / "results")
    copied = json.loads(target.read_text())
    assert target.name == "x.json" and copied["per_image"] == "x.npz"
    assert copied["predictions"] == str(tmp_path / "run/predictions")
    assert _value(target.with_name("x.npz")) == 7
    # The same record once more is left alone, another one of its id gets a number.
    assert copy_record(path, tmp_path / "results") == target
    other = copy_record(write_record(tmp_path, _record("x"), [_table(8)]), tmp_path / "results")
    assert other.name == "x-2.json" and _value(other.with_name("x-2.npz")) == 8
    assert _value(target.with_name("x.npz")) == 7
    assert len(list((tmp_path / "results").iterdir())) == 4


def test_a_record_whose_folder_moved_is_the_same(tmp_path: Path) -> None:
    path = write_record(tmp_path / "run/time", _record("x", "../predictions"), [_table(7)])
    first = copy_record(path, tmp_path / "results")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert copy_record(tmp_path / "moved/time" / path.name, tmp_path / "results") == first
    # Another process has written the statistics, and not yet the record.
    first.unlink()
    assert copy_record(tmp_path / "moved/time" / path.name, tmp_path / "results") == first
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_statistics_that_are_gone_are_not_copied(tmp_path: Path) -> None:
    path = write_record(tmp_path, _record("x"), [_table()])
    (tmp_path / "per_image.npz").unlink()
    assert json.loads(copy_record(path, tmp_path / "results").read_text())["per_image"] is None
