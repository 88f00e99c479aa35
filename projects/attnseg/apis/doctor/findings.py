"""Findings: what was found, how often, where, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .catalogue import CHECKS, FAULT, NOTE, WARNING

SEVERITIES = (FAULT, WARNING, NOTE)
_KEPT, _SHOWN = 10, 3


@dataclass
class Finding:
    """One kind of trouble in one set of files.

    Attributes:
        code: Key of the catalogue.
        where: What was looked at, such as ``train``.
        severity: ``fault``, ``warning`` or ``note``.
        count: How often it was found.
        examples: The first ten.
    """

    code: str
    where: str
    severity: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What is wrong, as a sentence without end."""
        return CHECKS[self.code].title

    @property
    def fix(self) -> str:
        """What to do, in one line."""
        return CHECKS[self.code].fix

    def as_json(self) -> dict[str, Any]:
        """All of it in plain values."""
        names = ("code", "where", "severity", "title", "count", "examples", "fix")
        return {name: getattr(self, name) for name in names}

    def lines(self) -> Iterator[str]:
        """The finding in the three lines that a person reads."""
        yield f"{self.severity:8} {self.code}, {self.where}: {self.title} ({self.count:,})"
        if self.examples:
            shown = "; ".join(self.examples[:_SHOWN])
            yield f"         {shown}{'; ...' if self.count > _SHOWN else ''}"
        if self.fix:
            yield f"         fix: {self.fix}"


class Findings:
    """Gathers findings by kind and place, in the order in which they come."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def add(
        self, code: str, where: str, example: str = "", count: int = 1, severity: str | None = None
    ) -> None:
        """Count a finding.

        Args:
            code: Key of the catalogue.
            where: What was looked at.
            example: File, id or value; the first ten are kept.
            count: How many there are.
            severity: In place of the catalogue's.
        """
        key = (code, where)
        if key not in self._found:
            self._found[key] = Finding(code, where, severity or CHECKS[code].severity)
        finding = self._found[key]
        finding.count += count
        if example and len(finding.examples) < _KEPT:
            finding.examples.append(example)

    def __iter__(self) -> Iterator[Finding]:
        """Faults first, then warnings, then notes."""
        for severity in SEVERITIES:
            yield from (f for f in self._found.values() if f.severity == severity)

    def counts(self) -> dict[str, int]:
        """Number of kinds of findings by severity."""
        return {
            severity: sum(f.severity == severity for f in self._found.values())
            for severity in SEVERITIES
        }
