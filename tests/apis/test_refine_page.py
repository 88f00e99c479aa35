"""The page in a real browser, with a real mouse: it works, and asks nobody but this machine."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_tools

from attnseg.apis.experiment import UsageError
from attnseg.apis.refiner import MaskRefiner
from tests.apis.refine_factory import write_model

pytest.importorskip("gradio", reason="no gradio; pip install -r requirements/tests.txt")

CHROMIUM = next(
    filter(
        None, [os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium", "chromium-browser"))]
    ),
    None,
)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium; apt install chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from attnseg.apis.refine_page.page import build_page, launch_page

    page = build_page(MaskRefiner(*write_model(tmp_path_factory.mktemp("model"))), max_side=700)
    yield launch_page(page, block=False)
    page.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """The open page, and what it said and asked for."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.messages: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.set_default_timeout(10_000)
        page.goto(address)
        page.locator(".stage").wait_for()

    def open(self, path: Path) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Open an image").click()
        chooser.value.set_files(path)

    def wait(self, text: str) -> str:
        status = self.page.locator(".status", has_text=re.compile(text))
        status.wait_for()
        return status.inner_text()

    def stroke(self, *points: tuple[float, float]) -> None:
        """Drag the mouse through points, given as shares of the picture's width and height."""
        box = self.page.locator(".ink").bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    def press(self, name: str) -> None:
        self.page.locator("#paper button", has_text=re.compile(f"^{re.escape(name)}$")).click()

    def share(self, other_than: float = -1) -> float:
        """How much of the image the mask covers, as the page says once it is another value."""
        found = self.wait(rf"covers (?!{other_than} )")
        return float(re.search(r"covers ([\d.]+) %", found)[1])

    def download(self, name: str, folder: Path) -> Path:
        with self.page.expect_download() as found:
            self.press(name)
        path = folder / found.value.suggested_filename
        found.value.save_as(path)
        return path

    def overlay(self) -> bool:
        return self.page.locator(".mask").is_visible()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    tab = Tab(context.new_page(), address)
    yield tab
    context.close()
    assert tab.messages == []
    asked = [url for url in tab.requests if not url.startswith(("data:", "blob:"))]
    assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}


@pytest.fixture(scope="session")
def picture(data_root: Path | None, demo_set: Path) -> Path:
    folder = demo_set / "images" / "val" if data_root is None else data_root / "coco_mini/val2017"
    return sorted(folder.iterdir())[0]


def test_from_a_stroke_to_both_files(tab: Tab, picture: Path, tmp_path: Path) -> None:
    with Image.open(picture) as image:
        width, height = image.size
    for name in ("Undo", "Clear", "Download mask (PNG)", "Download mask (COCO RLE)"):
        assert tab.page.get_by_role("button", name=name, exact=True).is_disabled()
    tab.open(picture)
    tab.wait(f"{width} x {height} pixels")
    tab.stroke((0.3, 0.5), (0.7, 0.5))
    first = tab.share()
    assert first > 0 and tab.overlay()
    # A correction that adds, one that erases, and both taken back.
    tab.stroke((0.5, 0.3), (0.5, 0.7))
    second = tab.share(other_than=first)
    tab.press("Erase")
    tab.stroke((0.25, 0.5), (0.4, 0.5))
    third = tab.share(other_than=second)
    assert first < third < second
    tab.press("Undo")
    tab.wait("Stroke undone; 2 are left")
    tab.page.keyboard.press("Control+z")
    tab.wait("Stroke undone; 1 is left")
    png = tab.download("Download mask (PNG)", tmp_path)
    rle = tab.download("Download mask (COCO RLE)", tmp_path)
    assert png.name == f"{picture.stem}_mask.png" and rle.name == f"{picture.stem}_mask.json"
    pixels = np.array(Image.open(png))
    assert pixels.shape == (height, width) and set(np.unique(pixels)) == {0, 255}
    mask = rle_tools.decode(json.loads(rle.read_text())["segmentation"])
    np.testing.assert_array_equal(mask * np.uint8(255), pixels)
    assert 100 * mask.mean() == pytest.approx(first, abs=0.06)
    # The mouse went along the middle from 0.3 to 0.7 of the width; the brush has a radius.
    rows, columns = np.nonzero(mask)
    brush = np.ptp(rows) / 2
    assert rows.mean() == pytest.approx(height / 2, abs=2)
    assert columns.min() == pytest.approx(0.3 * width - brush, abs=3)
    assert columns.max() == pytest.approx(0.7 * width + brush, abs=3)
    tab.press("Clear")
    tab.wait("Cleared")
    assert not tab.overlay()


def test_brush_and_view(tab: Tab, picture: Path) -> None:
    tab.open(picture)
    tab.wait("pixels")
    sizes = []
    with Image.open(picture) as image:
        longest = max(image.size)
    for value in (10, 60):
        tab.page.locator(".radius").fill(str(value))
        sizes.append(int(tab.page.locator(".width").inner_text().split()[0]))
        tab.stroke((0.5, 0.5))
        tab.share()
        tab.press("Clear")
        tab.wait("Cleared")
    expected = [max(1.5, (value / 100) ** 2 * longest / 2) for value in (10, 60)]
    assert sizes == pytest.approx(expected, abs=0.51)
    tab.page.keyboard.press("[")
    assert int(tab.page.locator(".width").inner_text().split()[0]) < sizes[1]
    tab.stroke((0.5, 0.5))
    tab.share()
    tab.page.get_by_label("Show mask").uncheck()
    assert not tab.overlay()
    tab.page.get_by_label("Show mask").check()
    assert tab.overlay()
    tab.page.keyboard.press("e")
    assert tab.page.get_by_role("radio", name="Erase").get_attribute("aria-checked") == "true"


def test_quick_strokes_are_all_obeyed(tab: Tab, picture: Path, tmp_path: Path) -> None:
    tab.open(picture)
    tab.wait("pixels")
    for x in (0.2, 0.5, 0.8):
        tab.stroke((x, 0.2), (x, 0.8))
    tab.page.wait_for_function("!document.querySelector('.undo').disabled")
    mask = np.array(Image.open(tab.download("Download mask (PNG)", tmp_path))) > 0
    middle = mask[mask.shape[0] // 2]
    assert [bool(middle[int(x * len(middle))]) for x in (0.2, 0.35, 0.5, 0.65, 0.8)] == [
        *(True, False, True, False, True)
    ]


def hold_first(tab: Tab) -> list[Any]:
    """Keep back the first request to the model from here on; the others go through."""
    held: list[Any] = []
    tab.page.route(
        "**/queue/join*", lambda route: route.continue_() if held else held.append(route)
    )
    return held


def test_a_stroke_belongs_to_the_image_it_was_painted_on(tab: Tab, tmp_path: Path) -> None:
    for name in ("one", "two"):
        Image.new("RGB", (300, 200)).save(tmp_path / f"{name}.png")
    tab.open(tmp_path / "one.png")
    tab.wait("pixels")
    held = hold_first(tab)
    tab.stroke((0.3, 0.5), (0.7, 0.5))
    tab.wait("Refining")
    tab.open(tmp_path / "two.png")
    tab.wait("pixels")
    held[0].continue_()
    tab.wait("meant for the image before, and was left out")
    assert not tab.overlay()
    tab.stroke((0.5, 0.5))
    tab.share()
    assert tab.page.locator(".undo").is_enabled()


def test_a_lost_request_does_not_lock_the_page(tab: Tab, picture: Path) -> None:
    tab.open(picture)
    tab.wait("pixels")
    hold_first(tab)
    tab.stroke((0.3, 0.5), (0.7, 0.5))
    tab.wait("Refining")
    tab.stroke((0.5, 0.3), (0.5, 0.7))
    tab.share()
    tab.page.wait_for_function("!document.querySelector('.undo').disabled")


def test_opening_is_announced(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("no image")
    for _ in range(2):
        held = hold_first(tab)
        tab.open(tmp_path / "letter.txt")
        tab.wait("Opening letter.txt")
        tab.page.wait_for_timeout(300)
        held[0].continue_()
        tab.wait("'letter.txt' cannot be decoded")
        tab.page.unroute_all()


def test_unsaved_work_is_not_left_without_a_question(tab: Tab, picture: Path) -> None:
    asked: list[str] = []
    tab.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    tab.open(picture)
    tab.wait("pixels")
    tab.page.reload()
    assert asked == []
    tab.open(picture)
    tab.wait("pixels")
    tab.stroke((0.5, 0.5))
    tab.share()
    tab.page.reload()
    assert asked == ["beforeunload"]


def test_uploads_go_with_the_program(
    tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attnseg.apis.refine_page.page import build_page, launch_page

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    Image.new("RGB", (300, 200)).save(tmp_path / "one.png")
    page = build_page(lambda *_: None)
    context = browser.new_context()
    tab = Tab(context.new_page(), launch_page(page, block=False))
    tab.open(tmp_path / "one.png")
    tab.wait("pixels")
    assert list(tmp_path.glob("uploads/**/one.png"))
    context.close()
    page.close(verbose=False)
    assert not list(tmp_path.glob("uploads/**/one.png"))


def test_what_goes_wrong_is_said(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("no image")
    tab.open(tmp_path / "letter.txt")
    tab.wait("'letter.txt' cannot be decoded")
    assert tab.page.locator(".status").get_attribute("data-kind") == "error"
    Image.new("RGB", (100, 300)).save(tmp_path / "slim.png")
    tab.open(tmp_path / "slim.png")
    tab.wait("pixels")
    tab.press("Erase")
    tab.stroke((0.5, 0.5), (0.6, 0.6))
    tab.wait("nothing to erase yet")
    tab.press("Paint")
    corner = tab.page.locator(".stage").bounding_box()
    tab.page.locator(".radius").fill("5")
    tab.page.mouse.click(corner["x"] + 5, corner["y"] + 5)
    tab.wait("The stroke is empty: it lies outside the image")
    tab.stroke((0.5, 0.5))
    tab.share()
    tab.open(tmp_path / "letter.txt")
    tab.wait("cannot be decoded")
    assert tab.overlay(), "the work so far is kept"
    Image.new("RGB", (1600, 800)).save(tmp_path / "large.png")
    tab.open(tmp_path / "large.png")
    tab.wait("1600 x 800 pixels: more than 700 on a side, so that it is worked on at 700 x 350")
    assert not tab.overlay()
    tab.stroke((0.5, 0.5))
    tab.share()
    mask = tab.download("Download mask (PNG)", tmp_path)
    assert Image.open(mask).size == (1600, 800)


def test_each_tab_has_its_own_drawing(tab: Tab, browser: Any, address: str, picture: Path) -> None:
    tab.open(picture)
    tab.wait("pixels")
    tab.stroke((0.5, 0.5))
    tab.share()
    context = browser.new_context()
    other = Tab(context.new_page(), address)
    assert not other.overlay() and other.page.locator(".undo").is_disabled()
    context.close()


def test_a_port_that_is_taken_is_named(address: str) -> None:
    from attnseg.apis.refine_page.page import build_page, launch_page

    port = urlsplit(address).port
    with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 cannot be used"):
        launch_page(build_page(lambda *_: None), port, block=False)
