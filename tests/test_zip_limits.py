"""Archives that promise far more than they hold are refused by each reader, unread."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from attnseg._compat_io import safe_torch_load
from attnseg.apis.command import UsageError
from attnseg.apis.refine_predictions import read_results
from attnseg.evaluation.submission.archive import ZipReader
from attnseg.mask_refine.published import read_published
from attnseg.per_image import read_tables
from tests.campaign.checkpoints import bomb


def packed(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, json.dumps([{}] * 50))
    return buffer.getvalue()


def saved(save: Callable[[io.BytesIO], None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("read", "data", "error"),
    [
        (safe_torch_load, saved(lambda b: torch.save({"w": torch.ones(999)}, b)), RuntimeError),
        (read_published, saved(lambda b: torch.save({"w": torch.ones(999)}, b)), ValueError),
        (read_tables, saved(lambda b: np.savez(b, header=np.zeros(999))), ValueError),
        (read_results, packed("a.json"), UsageError),
        (ZipReader, packed("a.json"), ValueError),
    ],
)
def test_bombs_are_refused(
    tmp_path: Path, read: Callable[[Path], object], data: bytes, error: type[Exception]
) -> None:
    file = tmp_path / "bomb.zip"
    file.write_bytes(bomb(data))
    with pytest.raises(error, match=r"bomb\.zip.* would grow from \d+ to 4294967280 bytes"):
        read(file)


def test_archives_without_checksums_of_torch_pass(tmp_path: Path) -> None:
    from torch.serialization import set_crc32_options

    file = tmp_path / "a.pth"
    torch.save({"w": torch.ones(9)}, file)
    changed = bytearray(file.read_bytes())
    changed[changed.find(struct.pack("<f", 1.0) * 9)] ^= 1
    file.write_bytes(changed)
    with pytest.raises(RuntimeError, match=r"a\.pth is damaged \(the checksum of its part"):
        safe_torch_load(file)
    set_crc32_options(False)
    try:
        torch.save({"w": torch.ones(9)}, file)
    finally:
        set_crc32_options(True)
    assert safe_torch_load(file)["w"].sum() == 9
