import errno
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from attnseg.per_image import ImageRef, PerImageTable, image_names, read_tables, write_tables


def make_table(prefix: str = "semantic", metric: str = "SemanticMetric") -> PerImageTable:
    return PerImageTable(
        metric=metric,
        prefix=prefix,
        settings={"ignore_index": 255, "ranges": [0.5, 0.95]},
        classes=("Straße", "car, parked"),
        images=(ImageRef(7, "a/b.png"), ImageRef(None, "a/ü.png"), ImageRef("x", "")),
        arrays={"intersect": np.arange(6).reshape(3, 2), "score": np.array([0.1, np.nan, 1 / 3])},
    )


def test_round_trip_keeps_every_digit(tmp_path: Path) -> None:
    table = make_table()
    write_tables(tmp_path / "per_image.npz", [table, make_table("", "Other")])
    found = read_tables(tmp_path / "per_image.npz")
    assert list(found) == ["semantic", "Other"]
    back = found["semantic"]
    assert (back.metric, back.prefix, back.settings, back.classes, back.images) == (
        table.metric,
        table.prefix,
        table.settings,
        table.classes,
        table.images,
    )
    for key, values in table.arrays.items():
        np.testing.assert_array_equal(back.arrays[key], values)
        assert back.arrays[key].dtype == values.dtype


def test_tables_of_one_prefix_are_numbered(tmp_path: Path) -> None:
    write_tables(tmp_path / "p.npz", [make_table(), make_table()])
    assert list(read_tables(tmp_path / "p.npz")) == ["semantic#1", "semantic#2"]


def test_no_table(tmp_path: Path) -> None:
    write_tables(tmp_path / "p.npz", [])
    assert read_tables(tmp_path / "p.npz") == {}


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        read_tables(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("kept", [0, 1, 30, 0.3, 0.7, 0.99])
def test_truncated_file_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "p.npz"
    write_tables(path, [make_table()])
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(ValueError, match=r"p\.npz.*Evaluate the checkpoint again"):
        read_tables(path)


def test_bytes_changed_on_disk_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    table = make_table()
    write_tables(path, [table])
    content = path.read_bytes()
    for position in range(0, len(content), 17):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 0x5A]) + content[position + 1 :]
        )
        try:
            found = read_tables(path)["semantic"]
        except (ValueError, KeyError) as error:
            assert isinstance(error, KeyError) or "p.npz" in str(error)
            continue
        # A byte of the archive that carries no content, such as a date.
        np.testing.assert_array_equal(found.arrays["intersect"], table.arrays["intersect"])
        assert found.images == table.images


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "executed"),)

    np.savez(tmp_path / "p.npz", header=np.array([Hostile()], dtype=object))
    with pytest.raises(ValueError, match=r"p\.npz"):
        read_tables(tmp_path / "p.npz")
    assert not (tmp_path / "executed").exists()


def test_foreign_archive_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", weights=np.zeros(3))
    with pytest.raises(ValueError, match=r"p\.npz"):
        read_tables(tmp_path / "p.npz")


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.npz"
    write_tables(path, [make_table()])
    old = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_tables(path, [make_table("other")])
    assert path.read_bytes() == old
    assert [item.name for item in tmp_path.iterdir()] == ["p.npz"]


def test_names_do_not_depend_on_the_machine() -> None:
    def table(*paths: str) -> PerImageTable:
        return PerImageTable("M", "", {}, (), tuple(ImageRef(None, p) for p in paths))

    here = table("/data/city/val/a/1.png", "/data/city/val/b/1.png")
    there = table("/scratch/x/val/a/1.png", "/scratch/x/val/b/1.png")
    assert image_names(here) == image_names(there) == ["a/1.png", "b/1.png"]
    assert image_names(table("/data/only.png")) == ["only.png"]
    assert image_names(make_table())[0] == "7"


def test_ids_that_repeat_are_told_apart_by_their_paths() -> None:
    refs = (ImageRef(1, "/d/a/x.png"), ImageRef(1, "/d/b/x.png"), ImageRef(2, "/d/a/y.png"))
    assert image_names(PerImageTable("M", "", {}, (), refs)) == ["1 a/x.png", "1 b/x.png", "2"]


def test_names_given_as_ids_do_not_keep_data_set_classes_apart() -> None:
    with_ids = tuple(ImageRef(f"{i}", f"/d/{i}.png") for i in range(3))
    without = tuple(ImageRef(None, f"/e/{i}.png") for i in range(3))
    names = [image_names(PerImageTable("M", "", {}, (), refs)) for refs in (with_ids, without)]
    assert names[0] == names[1] == ["0.png", "1.png", "2.png"]


def test_absolute_and_relative_paths_keep_their_names() -> None:
    refs = (ImageRef(None, "/d/a.png"), ImageRef(None, "d/b.png"))
    assert image_names(PerImageTable("M", "", {}, (), refs)) == ["a.png", "b.png"]


@pytest.mark.parametrize("header", [b"{'descr': '<i8', 'x': (\n", b"1" * 10 + b"\n"])
def test_hostile_array_headers_are_named(tmp_path: Path, header: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr(
            "header.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        )
    with pytest.raises(ValueError, match=r"p\.npz"):
        read_tables(tmp_path / "p.npz")
