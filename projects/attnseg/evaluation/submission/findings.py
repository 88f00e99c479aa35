"""What a validation found: counted by kind, with a few examples of each."""

from dataclasses import dataclass, field

EXAMPLES = 5


@dataclass
class Finding:
    """One kind of defect.

    Attributes:
        kind: What is wrong and what the server asks for.
        is_error: Whether the server refuses the file or scores it wrongly.
        count: How often it was found.
        examples: The first names.
    """

    kind: str
    is_error: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Kind, number and examples."""
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.kind} ({self.count}x): {', '.join(self.examples)}{more}"

    def __str__(self) -> str:
        return f"{'error' if self.is_error else 'warning'}: {self.text}"


class Findings:
    """Collects defects; memory does not grow with their number."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], Finding] = {}

    def error(self, kind: str, example: object) -> None:
        """Record what makes the file invalid."""
        self._add(kind, example, True)

    def warn(self, kind: str, example: object) -> None:
        """Record what is probably not meant, but accepted."""
        self._add(kind, example, False)

    @property
    def errors(self) -> list[Finding]:
        """Kinds that make the file invalid, in the order in which they were found."""
        return [finding for finding in self._found.values() if finding.is_error]

    @property
    def warnings(self) -> list[Finding]:
        """Kinds that do not."""
        return [finding for finding in self._found.values() if not finding.is_error]

    def _add(self, kind: str, example: object, is_error: bool) -> None:
        finding = self._found.setdefault((kind, is_error), Finding(kind, is_error))
        finding.count += 1
        if len(finding.examples) < EXAMPLES:
            finding.examples.append(str(example))


class InvalidSubmission(ValueError):
    """A packed file that its own validation refuses; nothing was left on the disk."""

    def __init__(self, findings: Findings) -> None:
        found = "; ".join(finding.text for finding in findings.errors)
        super().__init__(f"the packed file is not valid and was not kept: {found}")
        self.findings = findings
