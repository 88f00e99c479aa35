"""What ``tools/convert_refine_weights.py`` says of files that it cannot convert."""

import errno
import importlib.util
from pathlib import Path

import pytest

from attnseg.apis.command import UsageError

TOOL = Path(__file__).resolve().parents[2] / "tools/convert_refine_weights.py"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "'folder' is a folder"),
        ("done.safetensors", "is converted already"),
        ("short.ckpt", "'short.ckpt' is damaged or cut off: fetch the published file again"),
    ],
)
def test_what_cannot_be_converted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    spec = importlib.util.spec_from_file_location("convert", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def read_beyond_the_end(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(tool, "convert_file", read_beyond_the_end)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("sys.argv", ["convert", name, "out.safetensors"])
    with pytest.raises(UsageError, match=message):
        tool.main()
