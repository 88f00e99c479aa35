"""The page in a real browser: it works, loads nothing, and shows names as text."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attnseg.apis.leaderboard import run_page
from attnseg.leaderboard.cells import Cell, build_cells
from attnseg.leaderboard.groups import Reference
from attnseg.leaderboard.page import build_page
from attnseg.leaderboard.records import load_records
from tests.leaderboard.factory import CLASSES, measured_run, plain_run, record, write_run

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
HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium; apt install chromium")


class Tab:
    """An open page, and what it said and asked for."""

    def __init__(self, page: Any) -> None:
        self.page, self.messages, self.requests = page, [], []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def names(self) -> list[str]:
        return self.page.locator("tbody .name").all_inner_texts()

    def check(self, file: Path) -> None:
        assert self.messages == []
        assert {url for url in self.requests if not url.startswith("data:")} == {file.as_uri()}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Tab]]:
    tabs: list[tuple[Tab, Path]] = []

    def open_file(folder: Path, width: int = 1200, html: str | None = None, **options: Any) -> Tab:
        file = tmp_path / "page.html"
        if html is None:
            run_page([str(folder)], str(file), **options)
        else:
            file.write_text(html)
        context = browser.new_context(viewport={"width": width, "height": 900})
        # Whatever the page asks for beside itself fails, and is counted.
        context.set_offline(True)
        tab = Tab(context.new_page())
        tab.page.set_default_timeout(10_000)
        tab.page.goto(file.as_uri())
        tabs.append((tab, file))
        return tab

    yield open_file
    for tab, file in tabs:
        tab.check(file)
        tab.page.context.close()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for name, quality, latency in (("a", 0.7, 30.0), ("b", 0.6, 10.0), ("c", 0.5, 20.0)):
        for seed in (0, 1) if name == "a" else (0,):
            measured_run(folder, name, quality, seed, cost={"latency_ms_p50": latency})
    plain_run(folder, "elsewhere", 0.9, data={"split": "test"})
    return folder


@needs_browser
def test_headers_sort_by_mouse_and_keyboard(open_page: Callable[..., Tab], runs: Path) -> None:
    tab = open_page(runs)
    assert tab.names() == ["a", "b", "c", "elsewhere"]
    first = tab.page.locator("article").first
    latency = first.get_by_role("columnheader", name="Latency p50")
    latency.get_by_role("button").click()
    assert latency.get_attribute("aria-sort") == "ascending"
    assert tab.names()[:3] == ["b", "c", "a"]
    # The button keeps the focus, so the keyboard can turn the order around.
    tab.page.keyboard.press("Enter")
    assert latency.get_attribute("aria-sort") == "descending"
    assert tab.names()[:3] == ["a", "c", "b"]
    score = first.get_by_role("columnheader", name="semantic/mIoU")
    assert score.get_attribute("aria-sort") == "none"
    score.get_by_role("button").focus()
    tab.page.keyboard.press("Space")
    assert score.get_attribute("aria-sort") == "descending"
    assert tab.names()[:3] == ["a", "b", "c"]


@needs_browser
def test_filter_and_measurement_narrow_the_page(open_page: Callable[..., Tab], runs: Path) -> None:
    tab = open_page(runs)
    assert "2 tables: runs that were measured differently" in tab.page.inner_text("#separated")
    assert "split val and test" in tab.page.locator("article").nth(1).inner_text()
    tab.page.fill("#filter", "else")
    assert tab.names() == ["elsewhere"]
    assert tab.page.inner_text("#count") == "1 of 4 rows"
    tab.page.fill("#filter", "nothing like it")
    assert tab.names() == [] and "No run matches" in tab.page.inner_text("#tables")
    tab.page.fill("#filter", "")
    tab.page.select_option("#group", "1")
    assert tab.names() == ["elsewhere"]
    assert tab.page.locator("#scatter .point").count() == 1


@needs_browser
def test_scatter_shows_the_front_and_follows_the_axes(
    open_page: Callable[..., Tab], runs: Path
) -> None:
    tab = open_page(runs)
    labels = tab.page.locator("#scatter .point").evaluate_all(
        "nodes => nodes.map(node => node.getAttribute('aria-label'))"
    )
    front = {label[0] for label in labels if "on the Pareto front" in label}
    assert len(labels) == 3 and front == {"a", "b"}
    tab.page.check("#log")
    tab.page.select_option("#x", "params")
    assert "Parameters (M)" in tab.page.inner_text("#scatter")
    tab.page.locator("#scatter .point").first.hover()
    assert "semantic/mIoU (%)" in tab.page.inner_text("#tip")


@needs_browser
def test_the_value_of_a_class_may_rank(open_page: Callable[..., Tab], runs: Path) -> None:
    tab = open_page(runs, metrics=["IoU/road"])
    assert tab.page.locator("#y").input_value() == "semantic/IoU/road"
    assert tab.page.locator("#scatter .point").count() == 3


@needs_browser
def test_selected_runs_are_compared_by_class(open_page: Callable[..., Tab], runs: Path) -> None:
    tab = open_page(runs)
    bars = tab.page.locator("#classes .fill")
    assert bars.count() == 3 * len(CLASSES)
    tab.page.get_by_label("Compare c", exact=True).uncheck()
    assert bars.count() == 2 * len(CLASSES)
    texts = tab.page.locator("#classes .tick.class").all_text_contents()
    assert [text[: len(text) // 2] for text in texts] == list(CLASSES)
    tab.page.select_option("#order", "spread")
    tab.page.locator("#scatter .point[aria-label^='c']").focus()
    tab.page.keyboard.press("Enter")
    assert bars.count() == 3 * len(CLASSES)
    tab.page.get_by_label("Remove a").click()
    assert bars.count() == 2 * len(CLASSES)


@needs_browser
def test_values_and_missing_seeds_are_shown(open_page: Callable[..., Tab], runs: Path) -> None:
    tab = open_page(runs)
    text = tab.page.locator("article").first.inner_text()
    assert "seed 0 (n=1 of 2, missing 1)" in text
    assert re.search(r"± \d\.\d\d \(2\)", text)
    content = json.loads((runs / "b_0" / "20261121_090000" / "record.json").read_text())
    value = content["metrics"]["semantic/mIoU"]
    shown = " ".join(f"{100 * value[key]:.2f}" for key in ("low", "high")).replace(" ", ", ")
    assert f"[{shown}]" in text
    tab.page.get_by_role("button", name="b", exact=True).click()
    assert "python tools/test.py b.py" in tab.page.inner_text("#tables")


@needs_browser
def test_hostile_names_stay_text(open_page: Callable[..., Tab], tmp_path: Path) -> None:
    metrics = {
        key: {"value": 0.5, "low": 0.4, "high": 0.6}
        for key in (f"semantic/{HOSTILE}", f"semantic/IoU/{HOSTILE}", "semantic/__proto__")
    }
    content = record(HOSTILE, metrics, command=HOSTILE, id="t-test-1")
    content["data"]["type"] = HOSTILE
    content["evaluators"][0]["settings"] = {HOSTILE: HOSTILE}
    write_run(tmp_path / "runs" / "x", content)
    (tmp_path / "runs" / "<img src=x>").mkdir()
    (tmp_path / "runs" / "<img src=x>" / "record.json").write_text(HOSTILE)
    tab = open_page(tmp_path / "runs", title=HOSTILE)
    tab.page.locator(".name").click()
    assert tab.names() == [HOSTILE]
    assert tab.page.inner_text("h1") == HOSTILE and tab.page.title() == HOSTILE
    assert tab.page.evaluate("window.pwned") is None
    assert tab.page.locator("script").count() == 2
    assert tab.page.locator("img").count() == 0


@needs_browser
@pytest.mark.parametrize(("count", "width"), [(1, 390), (200, 1200)])
def test_one_run_and_two_hundred(
    open_page: Callable[..., Tab], tmp_path: Path, count: int, width: int
) -> None:
    for index in range(count):
        cost = {"latency_ms_p50": 5.0 + (index * 37) % 200, "params": 10_000 * (index + 1)}
        plain_run(tmp_path / "runs", f"run-{index}-end", 0.3 + index / 1000, cost=cost)
    tab = open_page(tmp_path / "runs", width=width)
    assert len(tab.names()) == count
    assert tab.page.locator("#scatter .point").count() == count
    tab.page.fill("#filter", "run-0-end")
    assert tab.names() == ["run-0-end"]
    wide = tab.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width


def test_the_classes_of_a_metric_share_a_unit(tmp_path: Path) -> None:
    def run(name: str, values: dict[str, float]) -> None:
        metrics = {f"semantic/IoU/{key}": {"value": value} for key, value in values.items()}
        metrics = {"semantic/mIoU": {"value": 0.5}, **metrics}
        evaluator = {"type": f"Foreign{name}", "prefix": "semantic", "settings": {}}
        write_run(tmp_path / "runs" / name, record(name, metrics, evaluators=[evaluator]))

    run("Percent", {"road": 0.0, "sky": 61.0})
    run("Fraction", {"road": 0.0, "sky": 0.61})
    file = tmp_path / "page.html"
    run_page([str(tmp_path / "runs")], str(file))
    content = json.loads(
        re.search(r'type="application/json"[^>]*>(.*?)</script>', file.read_text(), re.S)[1]
    )
    units = {
        table["settings"][0].partition(":")[0]: [family["percent"] for family in table["families"]]
        for table in content["tables"]
    }
    # Only fractions are turned into percent.
    assert units == {"ForeignPercent": [False], "ForeignFraction": [True]}


def test_the_file_is_complete_and_its_policy_forbids_requests(tmp_path: Path) -> None:
    plain_run(tmp_path / "runs", HOSTILE, 0.5)
    file = tmp_path / "page.html"
    run_page([str(tmp_path / "runs")], str(file))
    text = file.read_text()
    assert "default-src &#x27;none&#x27;" in text and "@@" not in text
    assert text.count("</script>") == 2 and HOSTILE not in text
    assert not re.findall(r"(?:src|href)=\"(?!data:,)", text)
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}


@needs_browser
def test_a_sweep_keeps_its_order_and_the_papers_figures_apart(
    open_page: Callable[..., Tab], tmp_path: Path
) -> None:
    key = "semantic/mIoU"
    files = [measured_run(tmp_path / "runs", name, q) for name, q in (("a", 0.5), ("b", 0.8))]
    records = [load_records([file])[0] for file in files]
    cells = [
        Cell(("weak", "0.1"), (0, 1), records[0], {key: 40.5}),
        Cell(("none", "0.1"), (0, 1), note="none yet: 2 waiting"),
        Cell(("strong", "0.1"), (0,), records[1]),
        Cell((HOSTILE, ""), reference={key: 60.25}, note="not run here: external"),
    ]
    reference = Reference("Table 4", "%", [key])
    notes = ["Small form: other data.", "Short runs."]
    table = build_cells("Sweep", ["variant", "lambda"], cells, [key], reference, notes)
    tab = open_page(tmp_path, html=build_page(table.kinds).html)
    assert tab.names() == ["weak", "none", "strong", HOSTILE]
    headers = tab.page.locator("thead th .name, thead th button span:first-child")
    title = f"{key} (%), paper: Table 4, not ours"
    assert headers.all_inner_texts()[:4] == ["variant", "lambda", key, title]
    assert tab.page.locator("td.paper").all_inner_texts() == ["40.5", "–", "–", "60.25"]
    assert tab.page.locator("td.metric.best").count() == 1
    assert "none yet: 2 waiting" in tab.page.locator("tbody").inner_text()
    legend = tab.page.locator(".legend").first
    assert [text for text in legend.locator("p").all_inner_texts() if text in notes] == notes
    assert "[object" not in tab.page.locator("body").inner_text()
    boxes = tab.page.locator("tbody input[type=checkbox]")
    assert [boxes.nth(i).is_disabled() for i in range(4)] == [False, True, False, True]
    tab.page.get_by_role("columnheader", name=title).get_by_role("button").click()
    assert tab.names()[:2] == ["weak", HOSTILE]
