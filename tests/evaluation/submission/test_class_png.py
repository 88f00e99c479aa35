"""Class maps in PNG files: read back by another library, 8 and 16 bits."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from attnseg.evaluation.submission.class_png import class_png_type, write_class_png


@pytest.mark.parametrize(
    ("num_classes", "offset", "kind"),
    [(1, 0, np.uint8), (255, 0, np.uint8), (254, 1, np.uint8), (255, 1, np.uint16),
     (256, 0, np.uint16), (65535, 0, np.uint16)],
)  # fmt: skip
@pytest.mark.parametrize("source", [np.uint16, np.int64])
def test_round_trip(tmp_path: Path, num_classes: int, offset: int, kind: type, source: type):
    # Not square, and with the first and the last class.
    labels = np.linspace(0, num_classes - 1, 5 * 11).astype(source).reshape(5, 11)
    path = tmp_path / "new" / "map.png"
    write_class_png(path, labels, num_classes, offset)
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert read.dtype == kind == class_png_type(num_classes, offset)
    np.testing.assert_array_equal(read.astype(np.int64) - offset, labels)


def test_void(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    labels = np.array([[0, 255, 2, -1, 100000]])
    write_class_png(path, labels, 3, void=255)
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tolist() == [[0, 255, 2, 255, 255]]
    write_class_png(path, labels, 3, offset=1, void=0)
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tolist() == [[1, 0, 3, 0, 0]]
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"map\.png': label 255 is no class.*3 classes"):
        write_class_png(path, labels, 3)
    for void in (1, 256, -1):
        with pytest.raises(ValueError, match=re.escape(f"void value {void} is a class or")):
            write_class_png(path, labels, 3, void=void)
    assert path.read_bytes() == before


def test_refused(tmp_path: Path) -> None:
    for labels in (np.zeros((1, 2, 3), int), np.zeros((2, 3)), np.zeros((0, 3), int)):
        with pytest.raises(ValueError, match=r"map\.png.*integers of shape \(H, W\)"):
            write_class_png(tmp_path / "map.png", labels, 2)
    with pytest.raises(ValueError, match="65536 classes.*16-bit"):
        write_class_png(tmp_path / "map.png", np.zeros((2, 2), int), 65536)
    assert not list(tmp_path.iterdir())
