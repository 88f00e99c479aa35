"""SHA-256 of files."""

import hashlib
from pathlib import Path

import pytest

from attnseg.file_hash import file_hash


@pytest.mark.parametrize("size", [0, 3, 1 << 20, (1 << 20) + 1])
def test_it_is_that_of_the_content(tmp_path: Path, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    (tmp_path / "file").write_bytes(content)
    assert file_hash(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        file_hash(tmp_path / "gone")
