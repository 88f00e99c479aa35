"""The report of the data's doctor as text."""

from typing import TYPE_CHECKING

from .contents import Contents
from .sets import SEMANTIC

if TYPE_CHECKING:
    from .data import DataReport

_CLASSES = 6


def print_report(report: "DataReport") -> None:
    """Print the sets, the findings, faults first, and how many there are."""
    print(report.config)
    for contents in report.contents:
        for line in describe(contents):
            print(line)
    for finding in report.findings:
        for line in finding.lines():
            print(line)
    counts = report.findings.counts()
    print(", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items()))
    if not report.images_read:
        print("--no-images: files were looked for, but images and label maps were not read")


def describe(contents: Contents) -> list[str]:
    """A set in two lines: where it is, and what it holds."""
    source = contents.source
    kind = "" if source.of_metric else f"{source.kind}, "
    first = f"{source.name}: {kind}{source.ann_file or source.images}"
    held = [f"{len(contents.entries):,} images"]
    if source.form != SEMANTIC:
        what = "objects" if source.form == "instances" else "segments"
        held.append(f"{contents.objects:,} {what} ({contents.crowds:,} crowds)")
    held.append(f"{len(contents.classes)} classes")
    text = ", ".join(held)
    if contents.counted and contents.histogram:
        total = sum(contents.histogram.values())
        most = contents.histogram.most_common(_CLASSES)
        unit = (lambda n: f"{n / total:.1%}") if source.form == SEMANTIC else (lambda n: f"{n:,}")
        text += ": " + ", ".join(f"{name} {unit(count)}" for name, count in most)
        text += ", ..." if len(contents.histogram) > _CLASSES else ""
    return [first, f"         {text}"]
