"""The site of `make docs`: navigation, reference, and a build without a warning."""

import runpy
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

import attnseg
from tests.docs.pages import PAGES, REPO

SITE = REPO / "docs/site"


def nav_pages(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    parts = part.values() if isinstance(part, dict) else part
    return [page for inner in parts for page in nav_pages(inner)]


@pytest.fixture(scope="module")
def hooks() -> dict[str, Any]:
    pytest.importorskip("mkdocs")
    return runpy.run_path(str(SITE / "hooks.py"))


def test_navigation_has_every_page_once(hooks) -> None:
    config = types.SimpleNamespace(nav=yaml.safe_load((SITE / "mkdocs.yml").read_text())["nav"])
    nav = nav_pages(hooks["on_config"](config).nav)
    pages = {str(page.relative_to(REPO)) for page in PAGES}
    assert sorted(nav) == sorted(pages | {"docs/reference/index.md"})


def test_the_index_links_to_every_page_of_docs() -> None:
    text = (REPO / "docs/README.md").read_text()
    assert [
        page.name
        for page in PAGES
        if page.parent.name == "docs" and page.name != "README.md" and f"]({page.name})" not in text
    ] == []


def test_every_public_module_is_in_the_reference(hooks) -> None:
    text = "\n".join(hooks["reference_pages"]().values())
    listed = [line.removeprefix("::: ") for line in text.splitlines() if line.startswith("::: ")]
    package = REPO / "projects/attnseg"
    wanted = {
        ".".join(("attnseg", *path.relative_to(package).with_suffix("").parts))
        for path in package.rglob("*.py")
        if not any(part.startswith((".", "_")) for part in path.relative_to(package).parts)
    }
    assert len(listed) == len(set(listed)) and wanted <= set(listed)


def test_the_site_builds_without_a_warning(hooks, tmp_path: Path) -> None:
    command = ["-m", "mkdocs", "build", "-f", str(SITE / "mkdocs.yml"), "-d", str(tmp_path)]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and "WARNING" not in ended.stderr, ended.stderr[-3000:]
    page = (tmp_path / "docs/reference/layers.html").read_text()
    assert "attnseg.layers.attention.pixel_attention" in page and "kv_stride" in page
    assert ":func:" not in page and ":attr:" not in page
    home = (tmp_path / "index.html").read_text()
    assert 'href="docs/tutorial.html"' in home


def test_the_citation_is_of_this_version_and_names_the_five_papers() -> None:
    cited = yaml.safe_load((REPO / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["version"] == attnseg.__version__
    assert cited["license"] == "Apache-2.0"
    assert "END OF TERMS AND CONDITIONS" in (REPO / "LICENSE").read_text()
    titles = {reference["title"] for reference in cited["references"]}
    assert len(titles) == 5 and all(reference["authors"] for reference in cited["references"])
    for room in ("maskattn_unet", "iaunet", "cspam_solov2", "manet", "mask_refine"):
        meta = yaml.safe_load((REPO / f"configs/{room}/metafile.yml").read_text())
        assert any(entry["Paper"]["Title"] in titles for entry in meta["Collections"]), room
