"""Hooks of mkdocs: all pages of the repository at their own places, and a page for each package."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPO = Path(__file__).resolve().parents[2]
SOURCE = REPO / "projects"
PAGES = ("README.md", "docs/**/*", "configs/*/README.md", "projects/attnseg/*/README.md")
REFERENCE = "docs/reference"


def public_modules() -> list[str]:
    """The modules of the package whose names, and those above, have no underscore in front."""
    names = []
    for path in sorted(SOURCE.glob("attnseg/**/*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith((".", "_")) for part in parts):
            names.append(".".join(parts))
    return names


def entry(name: str) -> str:
    """What mkdocstrings reads; what a package only hands on stands with its modules."""
    init = SOURCE / name.replace(".", "/") / "__init__.py"
    only_hands_on = init.is_file() and not re.search(r"^(class|def) ", init.read_text(), re.M)
    return f"::: {name}" + ("\n    options:\n      members: false" if only_hands_on else "")


def reference_pages() -> dict[str, str]:
    """Text of each page of the reference by its path: a page a package, and their index."""
    groups: dict[str, list[str]] = {}
    for name in public_modules():
        first = name.split(".")[1:2]
        inside = bool(first) and (SOURCE / "attnseg" / first[0]).is_dir()
        groups.setdefault(first[0] if inside else "attnseg", []).append(name)
    pages = {
        f"{REFERENCE}/{package}.md": "\n\n".join([f"# {package}", *map(entry, names)])
        for package, names in groups.items()
    }
    links = "\n".join(f"- [{package}]({package}.md)" for package in groups)
    pages[f"{REFERENCE}/index.md"] = f"# Reference\n\nFrom the docstrings.\n\n{links}\n"
    return pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name how-to pages in the navigation that it does not list, at the end of their part."""
    listed = str(config.nav)
    pages = sorted(f"docs/{path.name}" for path in (REPO / "docs").glob("*.md"))
    how_to = next(part["How-to"] for part in config.nav if "How-to" in part)
    how_to += [page for page in pages if f"'{page}'" not in listed]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages at their paths in the repository."""
    found = sorted({path for pattern in PAGES for path in REPO.glob(pattern) if path.is_file()})
    made = [
        File.generated(config, str(path.relative_to(REPO)), abs_src_path=str(path))
        for path in found
        if "site" not in path.relative_to(REPO).parts
    ]
    pages = reference_pages()
    made += [File.generated(config, path, content=text) for path, text in pages.items()]
    theme = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*made, *theme])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository that are no pages into their names."""

    def name(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = (REPO / page.file.src_uri).parent / target.partition("#")[0]
        inside = path.resolve().is_relative_to(REPO) and path.exists()
        source = str(path.resolve().relative_to(REPO)) if inside else ""
        return (
            f"{text} (`{source}`)" if inside and not files.get_file_from_path(source) else match[0]
        )

    return re.sub(r"(?<!!)\[([^\]]+)\]\(((?!http|#)[^)\s]+)\)", name, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take the roles of reStructuredText from names in docstrings, and the paths with a tilde."""
    html = re.sub(r":(?:attr|class|data|exc|func|meth|mod):(?=<code>)", "", html)
    return re.sub(r"<code>~[\w.]*?(\w+)</code>", r"<code>\1</code>", html)
