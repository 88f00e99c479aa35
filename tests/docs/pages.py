"""Commands and Python blocks of the pages that a reader finds."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PAGES = (
    REPO / "README.md",
    *sorted((REPO / "docs").glob("*.md")),
    *sorted((REPO / "configs").glob("*/README.md")),
    *sorted((REPO / "projects/attnseg").glob("*/README.md")),
)
SHELL = ("bash", "console", "")


@dataclass(frozen=True)
class Command:
    """A command as a page writes it.

    Attributes:
        page: Path of the page from the top of the repository.
        text: In one line, without comment.
        words: Of the shell.
    """

    page: str
    text: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return re.findall(r"^```([^\n`]*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands_of(page: Path) -> list[Command]:
    """The commands of a page; a block without a language holds them if it begins with one."""
    found = []
    values: dict[str, str] = {}
    for language, text in blocks(page):
        if language not in SHELL or (not language and not text.startswith("python ")):
            continue
        for line in text.replace("\\\n", " ").splitlines():
            if language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            for name, value in values.items():
                line = line.replace(f"${name}", value)
            words = shlex.split(line, comments=True)
            if not words:
                continue
            if re.fullmatch(r"\w+=\S+", words[0]) and len(words) == 1:
                name, _, value = words[0].partition("=")
                values[name] = value
                continue
            name = str(page.relative_to(REPO))
            found.append(Command(name, shlex.join(words), tuple(words)))
    return found


COMMANDS = [command for page in PAGES for command in commands_of(page)]
PYTHON = [
    (str(page.relative_to(REPO)), text)
    for page in PAGES
    for language, text in blocks(page)
    if language == "python"
]
