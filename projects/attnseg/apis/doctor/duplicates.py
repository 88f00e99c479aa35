"""Images that are in training and in evaluation, as copies or nearly so."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .contents import Contents, Entry
from .findings import Findings
from .image_files import ImageFacts

_ALIKE = 0.98  # correlation of the small copies
_ROWS = 1024


def find_copies(
    all_contents: Sequence[Contents], facts: Mapping[str, ImageFacts], findings: Findings
) -> None:
    """Compare each image of an evaluation with all images of the training.

    Files of equal bytes are copies. Near copies are found by the correlation of gray copies of
    16 x 16 pixels, so that brightness, contrast, scale and compression do not hide them.
    """
    training = _images(c for c in all_contents if c.source.roles[0].startswith("train"))
    by_digest = {facts[path].digest: entry for path, entry in training.items()}
    for contents in all_contents:
        rest = [role for role in contents.source.roles if not role.startswith("train")]
        if not rest:
            continue
        where, near = ", ".join(rest), {}
        for path, entry in _images([contents]).items():
            twin = by_digest.get(facts[path].digest)
            if twin is not None:
                text = "the same file" if path in training else f"equal to {twin.name} of train"
                findings.add("split-copy", where, f"{entry.name}: {text}")
            elif facts[path].small is not None:
                near[path] = entry
        _find_near(near, training, facts, where, findings)


def _images(all_contents: Iterable[Contents]) -> dict[str, Entry]:
    return {e.path: e for contents in all_contents for e in contents.entries if e.path}


def _find_near(
    images: Mapping[str, Entry],
    training: Mapping[str, Entry],
    facts: Mapping[str, ImageFacts],
    where: str,
    findings: Findings,
) -> None:
    others = [path for path in training if facts[path].small is not None]
    if not others or not images:
        return
    theirs, paths = _vectors(others, facts), list(images)
    for start in range(0, len(paths), _ROWS):
        part = paths[start : start + _ROWS]
        alike = _vectors(part, facts) @ theirs.T
        for path, row in zip(part, alike, strict=True):
            best = int(row.argmax())
            if row[best] >= _ALIKE:
                twin = training[others[best]].name
                findings.add("split-near", where, f"{images[path].name} and {twin} of train")


def _vectors(paths: Sequence[str], facts: Mapping[str, ImageFacts]) -> NDArray[np.float32]:
    rows = np.stack([facts[path].small.ravel() for path in paths]).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
