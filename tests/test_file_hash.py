"""SHA-256 of files."""

import hashlib
from pathlib import Path

import pytest

from attnseg.file_hash import file_hash, files_hash


@pytest.mark.parametrize("size", [0, 3, 1 << 20, (1 << 20) + 1])
def test_it_is_that_of_the_content(tmp_path: Path, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    (tmp_path / "file").write_bytes(content)
    assert file_hash(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_that_of_several_files_counts_names_and_contents_but_no_place(tmp_path: Path) -> None:
    def files(folder: str, **contents: str) -> list[Path]:
        paths = [tmp_path / folder / f"{name}.png" for name in contents]
        for path, text in zip(paths, contents.values(), strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return paths

    found = files("here", b="2", a="1")
    parts = [f"{n}.png\0{hashlib.sha256(t.encode()).hexdigest()}\0" for n, t in ("a1", "b2")]
    assert files_hash(found) == hashlib.sha256("".join(parts).encode()).hexdigest()
    assert files_hash(files("there", a="1", b="2")) == files_hash(found)
    assert files_hash(files("swapped", a="2", b="1")) != files_hash(found)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        file_hash(tmp_path / "gone")
