from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnseg.apis.picture import colour_classes, colour_panoptic, draw_panels, pca_rgb


def test_each_class_has_a_colour_and_void_is_black() -> None:
    picture = colour_classes(np.array([[0, 1, 2], [255, -1, 1]]), 3)
    colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert len(colours) == 4
    assert picture[1, 0].tolist() == picture[1, 1].tolist() == [0, 0, 0]


def test_instances_of_one_class_differ_and_are_outlined() -> None:
    panoptic = np.full((12, 12), 1)
    panoptic[2:6, 2:10] = 1000
    panoptic[6:10, 2:10] = 2000
    picture = colour_panoptic(panoptic, 2)
    assert picture[4, 5].tolist() != picture[8, 5].tolist()
    assert picture[6, 5].tolist() == [255, 255, 255]
    assert picture[0, 0].tolist() == colour_classes(np.array([[1]]), 2)[0, 0].tolist()


def test_pca_separates_directions_and_survives_constant_input() -> None:
    embedding = np.zeros((4, 6, 6))
    embedding[0, :, :3] = 1
    embedding[1, :, 3:] = 1
    picture = pca_rgb(embedding)
    assert abs(int(picture[0, 0, 0]) - int(picture[0, 5, 0])) > 200
    assert pca_rgb(np.ones((4, 6, 6))).shape == (6, 6, 3)
    assert pca_rgb(embedding, np.zeros((6, 6), bool)).shape == (6, 6, 3)


def test_panels_are_written_as_png_and_rows_checked(tmp_path: Path) -> None:
    tile = np.zeros((8, 10, 3), np.uint8)
    path = draw_panels([[tile, tile]], ("a", "b"), tmp_path / "x.png")
    assert Image.open(path).format == "PNG"
    with pytest.raises(ValueError, match="each row needs 2 pictures"):
        draw_panels([[tile]], ("a", "b"), tmp_path / "y.png")
    assert not (tmp_path / "y.png").exists()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_panels_of_any_depth_and_channels(tmp_path: Path, channels: int, dtype: type) -> None:
    top = 60000 if dtype == np.uint16 else 255
    ramp = np.linspace(0, top, 30).astype(dtype)
    tile = np.broadcast_to(ramp[None, :, None], (8, 30, channels))
    path = draw_panels([[tile]], ("",), tmp_path / "x.png")
    picture = np.array(Image.open(path).convert("RGB")).astype(int)
    row = picture[picture.shape[0] // 2]
    # A ramp from black to white: neither clipped nor inverted.
    ramped = row[(row < 255).any(1)]
    assert ramped.min() == 0 and np.median(ramped) == pytest.approx(127, abs=20)
    assert len(np.unique(ramped[:, 1])) >= 28
