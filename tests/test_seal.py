"""Seals of checkpoints: each kind of damage is seen, nothing else is called damaged."""

import io
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.runner import save_checkpoint

from attnseg._compat_io import safe_torch_load
from attnseg._seal import damage, is_sealed, write_sealed

WEIGHTS = {"meta": {"iter": 3}, "state_dict": {"w": torch.arange(300.0), "b": torch.zeros(2)}}


def _sealed_bytes() -> bytes:
    buffer, out = io.BytesIO(), io.BytesIO()
    torch.save(WEIGHTS, buffer)
    write_sealed(out, buffer.getvalue())
    return out.getvalue()


SEALED = _sealed_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seal") / "x.pth"


def test_mmengine_writes_sealed_checkpoints_that_plain_torch_reads(tmp_path: Path) -> None:
    path = tmp_path / "iter_3.pth"
    save_checkpoint(WEIGHTS, str(path))
    assert is_sealed(path) and damage(path) is None
    for mmap in (False, True):
        for read in (torch.load, safe_torch_load):
            found = read(path, weights_only=True, mmap=mmap)["state_dict"]["w"]
            assert torch.equal(found, WEIGHTS["state_dict"]["w"])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SEALED) * 8 - 1))
def test_every_flipped_bit_shows(scratch: Path, bit: int) -> None:
    data = bytearray(SEALED)
    data[bit // 8] ^= 1 << bit % 8
    scratch.write_bytes(data)
    assert damage(scratch) is not None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SEALED) - 1))
def test_every_truncation_shows(scratch: Path, length: int) -> None:
    scratch.write_bytes(SEALED[:length])
    assert damage(scratch) is not None


def test_bits_of_the_seal_itself(scratch: Path) -> None:
    for byte in range(len(SEALED) - 110, len(SEALED)):
        for bit in range(8):
            data = bytearray(SEALED)
            data[byte] ^= 1 << bit
            scratch.write_bytes(data)
            assert damage(scratch) is not None, (byte, bit)


def test_unsealed_archives_are_held_against_their_checksums(tmp_path: Path) -> None:
    path = tmp_path / "plain.pth"
    torch.save(WEIGHTS, path)
    assert not is_sealed(path) and damage(path) is None
    data = bytearray(path.read_bytes())
    where = data.index(torch.arange(300.0).numpy().tobytes()) + 40
    data[where] ^= 1
    path.write_bytes(data)
    # torch itself reads the wrong weight without a word.
    assert not torch.equal(
        torch.load(path, weights_only=True)["state_dict"]["w"], WEIGHTS["state_dict"]["w"]
    )
    assert "checksum" in damage(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"PK\x03\x04", "truncated"), (b"x" * 500, "not a checkpoint")],
)
def test_other_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    assert words in damage(path)


def test_a_damaged_checkpoint_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "iter_3.pth"
    data = bytearray(SEALED)
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match=r"iter_3.pth has other bytes.*the checkpoint before"):
        safe_torch_load(path)


def test_bytes_that_are_no_archive_are_written_as_they_are() -> None:
    out = io.BytesIO()
    write_sealed(out, b"text")
    assert out.getvalue() == b"text"
