"""Strokes, corrections, undo and files of the page, without the page."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as rle_tools

from attnseg.apis.refine_page import drawing as drawing_module
from attnseg.apis.refine_page.drawing import Drawing, open_drawing, paint_stroke

SIZE = (40, 60)


class Model:
    """In place of a refiner: keeps what it was given, and gives the corrected mask back."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.answer: np.ndarray | None = None

    def __call__(self, image, stroke, add=None, remove=None) -> np.ndarray:
        self.calls.append((stroke, add, remove))
        if self.answer is not None:
            return self.answer
        mask = stroke if add is None else stroke | add
        return mask if remove is None else mask & ~remove


@pytest.fixture
def drawing() -> Drawing:
    return Drawing(np.zeros((*SIZE, 3), np.uint8), SIZE, "horse")


@pytest.fixture
def model() -> Model:
    return Model()


def to_line(points: list, size: tuple[int, int]) -> np.ndarray:
    """Distance of each pixel's centre to a line, by the plain formula."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    pixels = np.stack([columns, rows], -1)
    found = np.full(size, np.inf)
    for start, end in zip(points[:-1] or points, points[1:] or points, strict=True):
        along = np.subtract(end, start)
        share = ((pixels - start) @ along) / max(along @ along, 1)
        nearest = start + share.clip(0, 1)[..., None] * along
        found = np.minimum(found, np.linalg.norm(pixels - nearest, axis=-1))
    return found


@pytest.mark.parametrize("radius", [0.75, 1, 3, 7.4])
@pytest.mark.parametrize(
    "points", [[[25, 20]], [[10, 25], [80, 25]], [[10.3, 10], [40, 40.8], [80, 10]]]
)
def test_what_is_near_the_line_is_painted(points: list, radius: float) -> None:
    painted, distance = paint_stroke((50, 90), points, radius), to_line(points, (50, 90))
    np.testing.assert_array_equal(painted, distance <= radius)


def test_a_shaky_line_is_the_line() -> None:
    points = [[10 + i / 4, 25 + 0.1 * (-1) ** i] for i in range(240)]
    straight = paint_stroke((50, 90), [points[0], points[-1]], 8)
    assert (paint_stroke((50, 90), points, 8) ^ straight).sum() < 40


def test_strokes_are_cut_at_the_image_and_may_be_empty() -> None:
    assert not paint_stroke(SIZE, [], 5).any()
    assert not paint_stroke(SIZE, [[-50, -50], [-9, 80]], 3).any()
    assert paint_stroke(SIZE, [[-50, 20], [1e9, 20]], 5).sum() == pytest.approx(60 * 10, rel=0.11)
    assert paint_stroke(SIZE, [[20, 20]], 1e12).all()
    assert paint_stroke((1, 1), [[0.5, 0.5]], 0.5).all()
    for points, radius in (([[np.nan, 3]], 4), ([[1, 1]], np.inf)):
        with pytest.raises(ValueError, match="no numbers"):
            paint_stroke(SIZE, points, radius)


def test_corrections_get_the_last_mask_and_all_strokes_so_far(
    drawing: Drawing, model: Model
) -> None:
    first = drawing.painted(model, [[10, 10], [30, 10]], 5, erase=False)
    second = first.painted(model, [[30, 10], [30, 30]], 5, erase=False)
    third = second.painted(model, [[30, 30], [50, 30]], 4, erase=True)
    strokes = [
        paint_stroke(SIZE, points, radius)
        for points, radius in (([[10, 10], [30, 10]], 5), ([[30, 10], [30, 30]], 5))
    ]
    erased = paint_stroke(SIZE, [[30, 30], [50, 30]], 4)
    painted, add, remove = model.calls[0]
    np.testing.assert_array_equal(painted, strokes[0])
    assert add is None and remove is None
    mask, add, remove = model.calls[1]
    np.testing.assert_array_equal(mask, strokes[0])
    np.testing.assert_array_equal(add, strokes[1])
    assert not remove.any()
    mask, add, remove = model.calls[2]
    np.testing.assert_array_equal(mask, strokes[0] | strokes[1])
    # What is erased is no longer to be added, and the other way round.
    np.testing.assert_array_equal(add, strokes[1] & ~erased)
    np.testing.assert_array_equal(remove, erased)
    np.testing.assert_array_equal(third.mask, (strokes[0] | strokes[1]) & ~erased)
    third.painted(model, [[30, 10], [30, 30]], 5, erase=False)
    np.testing.assert_array_equal(model.calls[3][2], erased & ~strokes[1])


def test_undo_and_clear_leave_the_image(drawing: Drawing, model: Model) -> None:
    first = drawing.painted(model, [[10, 10]], 5, erase=False)
    second = first.painted(model, [[20, 20]], 5, erase=False)
    np.testing.assert_array_equal(second.undone().mask, first.mask)
    assert second.undone().undone().mask is None and second.cleared().steps == ()
    # Nothing is changed in place.
    assert len(second.steps) == 2
    with pytest.raises(ValueError, match="no stroke to undo"):
        drawing.undone()


def test_what_cannot_be_painted_is_said(drawing: Drawing, model: Model) -> None:
    first = drawing.painted(model, [[10, 10]], 5, erase=False)
    for of, points, radius, erase, message in (
        (drawing, [[-90, 0]], 5, False, "stroke is empty"),
        (drawing, [[9, 9]], 5, True, "nothing to erase yet"),
        (first, [[50, 30]], 5, True, "misses the mask"),
        (first, [[10, 10]], 20, True, "use Clear"),
    ):
        with pytest.raises(ValueError, match=message):
            of.painted(model, points, radius, erase)
    assert len(model.calls) == 1
    model.answer = np.zeros(SIZE, bool)
    with pytest.raises(ValueError, match="finds no object under this stroke"):
        first.painted(model, [[20, 20]], 5, erase=False)


def test_files_hold_the_mask(drawing: Drawing, model: Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no mask yet"):
        drawing.png()
    done = drawing.painted(model, [[10, 10], [33, 27]], 5, erase=False)
    (tmp_path / "m.png").write_bytes(done.png())
    pixels = np.array(Image.open(tmp_path / "m.png"))
    np.testing.assert_array_equal(pixels, done.mask * np.uint8(255))
    content = json.loads(done.rle())
    np.testing.assert_array_equal(rle_tools.decode(content["segmentation"]), done.mask)
    rows, columns = np.nonzero(done.mask)
    assert content["area"] == done.mask.sum() and content["segmentation"]["size"] == list(SIZE)
    assert content["bbox"] == [
        columns.min(),
        rows.min(),
        np.ptp(columns) + 1,
        np.ptp(rows) + 1,
    ]


def test_large_images_are_reduced_and_their_masks_are_not(tmp_path: Path, model: Model) -> None:
    Image.fromarray(np.zeros((300, 1001, 3), np.uint8)).save(tmp_path / "wide.png")
    small = open_drawing(tmp_path / "wide.png", 200)
    assert small.image.shape == (60, 200, 3) and small.size == (300, 1001) and small.reduced
    done = small.painted(model, [[100, 30]], 10, erase=False)
    full = done.full_mask()
    assert full.shape == (300, 1001) and set(np.unique(full)) == {0, 1}
    rows, columns = np.nonzero(full)
    assert (rows.mean(), columns.mean()) == pytest.approx((150, 500), abs=3)
    assert full.sum() == pytest.approx(np.pi * 50**2, rel=0.05)
    assert not open_drawing(tmp_path / "wide.png", 1001).reduced


def test_images_of_other_kinds(tmp_path: Path) -> None:
    deep = np.linspace(900, 4000, 30 * 20).reshape(30, 20).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    found = open_drawing(tmp_path / "deep.tif").image
    assert found.shape == (30, 20, 3) and found.dtype == np.uint8 and np.ptp(found) == 255
    Image.new("RGBA", (20, 30), (255, 0, 0, 9)).save(tmp_path / "alpha.png")
    assert (open_drawing(tmp_path / "alpha.png").image == (0, 0, 255)).all()


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    (tmp_path / "b.jpg").write_bytes(b"")
    for name in ("a.png", "b.jpg"):
        with pytest.raises(ValueError, match=f"^'{name}' cannot be decoded: it is"):
            open_drawing(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        open_drawing(tmp_path / "none.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_headers_tell_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pillow refuses more than 178956970.
    for name, size in (("huge.png", (60000, 4000)), ("between.png", (44200, 4000))):
        Image.new("1", size).save(tmp_path / name)
        with pytest.raises(ValueError, match=f"'{name}' has too many .*more than 175 million"):
            open_drawing(tmp_path / name)
    # Pillow cannot read these at all; each plane alone is small enough.
    monkeypatch.setattr(drawing_module, "MAX_PIXELS", 5000)
    planes = np.zeros((5, 40, 30), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(ValueError, match=r"'stack.tif' has too many"):
        open_drawing(tmp_path / "stack.tif")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((40, 30, 3), np.uint16), photometric="rgb")
    assert open_drawing(tmp_path / "rgb.tif").size == (40, 30)


def test_stacks_are_opened_where_the_file_says_so(tmp_path: Path) -> None:
    planes = np.zeros((5, 40, 30), np.uint8)
    planes[2, 7] = 200
    tifffile.imwrite(tmp_path / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(open_drawing(tmp_path / "stack.tif").image[..., 0], planes[2])
    tifffile.imwrite(tmp_path / "mute.tif", planes.astype(np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match="^'mute.tif' has 5 channels: .*axes ZYX"):
        open_drawing(tmp_path / "mute.tif")


def test_many_strokes_do_not_fill_the_memory(model: Model, monkeypatch) -> None:
    monkeypatch.setattr(drawing_module, "MAX_STEPS", 3)
    large = Drawing(np.zeros((1000, 1600, 3), np.uint8), (1000, 1600), "horse")
    for row in range(100, 600, 100):
        large = large.painted(model, [[100, row], [900, row]], 20, erase=False)
    assert len(large.steps) == 3
    assert sum(len(part) for part in vars(large.steps[-1]).values()) < 20_000
    left = large.undone().undone()
    assert left.mask[300].any() and not left.mask[400].any()
    with pytest.raises(ValueError, match="Only the last 3 strokes can be undone"):
        left.undone()
    # From a clean image on, all is known again.
    begun = left.cleared().painted(model, [[100, 100]], 20, erase=False)
    assert begun.undone().mask is None


def test_each_opening_has_a_key_of_its_own(tmp_path: Path, model: Model) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    first, second = (open_drawing(tmp_path / "a.png") for _ in range(2))
    assert first.key != second.key
    assert first.painted(model, [[9, 9]], 5, erase=False).key == first.key
