"""A folder of images and strokes: what is written, what is left out, and what is named."""

import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from PIL import Image

from attnseg.apis.experiment import UsageError
from attnseg.apis.refine_images import refine_folder
from tests.apis.refine_factory import REPO, write_model


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Three images of different kinds and sizes with their strokes."""
    images, strokes = tmp_path / "images", tmp_path / "strokes"
    images.mkdir()
    strokes.mkdir()
    sizes = {"a.jpg": (20, 31), "b.PNG": (9, 9), "c.tif": (33, 8)}
    for i, (name, size) in enumerate(sizes.items()):
        Image.fromarray(np.full((*size, 3), 50 * i, np.uint8)).save(images / name)
        Image.fromarray(stroke(size)).save(strokes / f"{name[0]}.png")
    (images / "notes.txt").write_text("no image")
    return images, strokes, tmp_path / "out"


def stroke(size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[2:7, 1:6] = 255
    return mask


def grown(image: Path, painted: Path) -> np.ndarray:
    """In place of a model."""
    assert image.stem == painted.stem
    mask = cv2.imread(str(painted), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise ValueError(f"image '{painted}' cannot be decoded")
    return cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0


def test_masks_have_the_size_of_their_image(folders: tuple[Path, Path, Path]) -> None:
    report = refine_folder(grown, *folders, progress=False)
    assert report.written == ["a.png", "b.png", "c.png"] and not report.failed
    with Image.open(folders[2] / "a.png") as picture:
        mask = np.array(picture)
    assert picture.mode == "L" and set(np.unique(mask)) == {0, 255}
    expected = np.zeros((20, 31), np.uint8)
    expected[1:8, 0:7] = 255
    np.testing.assert_array_equal(mask, expected)
    assert sorted(path.name for path in folders[2].iterdir()) == report.written


def test_empty_masks_are_named(folders: tuple[Path, Path, Path]) -> None:
    def blank(image: Path, painted: Path) -> np.ndarray:
        return grown(image, painted) & (image.stem != "b")

    report = refine_folder(blank, *folders, progress=False)
    assert report.written == ["a.png", "b.png", "c.png"] and report.empty == ["b.png"]


def test_bad_files_do_not_keep_the_others(folders: tuple[Path, Path, Path]) -> None:
    images, strokes, out = folders
    (strokes / "b.png").write_bytes(b"broken")
    (images / "lone.png").write_bytes((strokes / "a.png").read_bytes())
    (strokes / "over.png").write_bytes((strokes / "a.png").read_bytes())
    (images / "c.png").write_bytes((strokes / "c.png").read_bytes())
    report = refine_folder(grown, images, strokes, out, progress=False)
    assert report.written == ["a.png"] and set(report.failed) == {
        "b.PNG",
        "lone.png",
        "over.png",
        "c",
    }
    assert "cannot be decoded" in report.failed["b.PNG"]
    assert "no stroke 'lone.png'" in report.failed["lone.png"]
    assert "2 images of one stem (c.png, c.tif)" in report.failed["c"]


def test_masks_that_are_there(folders: tuple[Path, Path, Path]) -> None:
    refine_folder(grown, *folders, progress=False)
    kept = folders[2] / "b.png"
    kept.write_bytes(b"mine")
    (folders[2] / "a.png").unlink()
    with pytest.raises(UsageError, match=r"2 of the masks already \(b.png.*--resume.*--overwrite"):
        refine_folder(grown, *folders, progress=False)
    report = refine_folder(grown, *folders, resume=True, progress=False)
    assert (report.written, report.skipped) == (["a.png"], ["b.png", "c.png"])
    assert kept.read_bytes() == b"mine"
    report = refine_folder(grown, *folders, overwrite=True, progress=False)
    assert len(report.written) == 3 and kept.read_bytes() != b"mine"


def test_folders_that_do_not_fit(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    images, strokes, out = folders
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for given, message in (
        ((tmp_path / "none", strokes, out), "none' not found"),
        ((images, strokes, strokes), "need a folder of their own"),
        ((images, strokes, tmp_path / "file"), "is a file"),
        ((images, tmp_path / "empty", out), "no image in .* has a stroke"),
    ):
        with pytest.raises(UsageError, match=message):
            refine_folder(grown, *given, progress=False)
    assert not out.exists()


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refine", REPO / "tools/refine_images.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tool_says_what_it_did(
    tool: ModuleType,
    folders: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, weights = write_model(tmp_path / "model")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folders[1] / "b.png")
    names = ("--config", "--weights", "--images", "--strokes", "--out")
    values = (config, weights, *folders)
    arguments = [str(x) for pair in zip(names, values, strict=True) for x in pair]
    monkeypatch.setattr("sys.argv", ["refine", *arguments])
    with pytest.raises(SystemExit) as end:
        tool.main()
    assert end.value.code == 1
    printed = capsys.readouterr().out
    assert "2 masks written" in printed and "not done: b.PNG: the stroke on" in printed
    with Image.open(folders[2] / "a.png") as picture:
        np.testing.assert_array_equal(np.array(picture), stroke((20, 31)))
    Image.fromarray(stroke((9, 9))).save(folders[1] / "b.png")
    monkeypatch.setattr("sys.argv", ["refine", *arguments, "--resume"])
    tool.main()
    assert "1 masks written, 2 were there already" in capsys.readouterr().out
