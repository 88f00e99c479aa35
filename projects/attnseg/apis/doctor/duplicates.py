"""Images that are in training and in evaluation, as copies or nearly so."""

from collections.abc import Iterable, Mapping, Sequence
from multiprocessing.pool import ThreadPool

import cv2
import numpy as np
from mmengine.fileio import get
from numpy.typing import NDArray

from attnseg.datasets.transforms.decode import decode_image

from .contents import Contents, Entry
from .findings import Findings
from .image_files import ImageFacts, threads, to_gray_bytes

_ALIKE = 0.85  # correlation of small copies, from which on a pair is looked at closely
_ROWS = 1024
# Measured between unrelated images of COCO and of two sets of cells: at most 0.35 and 16.
_FINE = 0.6  # correlation of what is left of 64 x 64 pixels without their blurred ground
_POINTS = 20  # matching points that one shift, turn and scale explains
_SIDE = 320


def find_copies(
    all_contents: Sequence[Contents], facts: Mapping[str, ImageFacts], findings: Findings
) -> None:
    """Compare each image of an evaluation with all images of the training.

    Files of equal bytes are copies. For near copies, the most similar image of the training is
    found by the correlation of gray copies of 16 x 16 pixels, so that brightness, contrast, scale
    and compression do not hide it; fine structure or matching points have to confirm it.
    """
    training = _images(c for c in all_contents if c.source.roles[0].startswith("train"))
    by_digest = {facts[path].digest: entry for path, entry in training.items()}
    by_digest.pop(b"", None)
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
        pairs = _candidates(list(near), list(training), facts)
        with ThreadPool(threads()) as pool:
            for (path, other), same in zip(pairs, pool.imap(_same_scene, pairs), strict=True):
                if same:
                    text = f"{near[path].name} and {training[other].name} of train"
                    findings.add("split-near", where, text)


def _images(all_contents: Iterable[Contents]) -> dict[str, Entry]:
    return {e.path: e for contents in all_contents for e in contents.entries if e.path}


def _candidates(
    paths: Sequence[str], training: Sequence[str], facts: Mapping[str, ImageFacts]
) -> list[tuple[str, str]]:
    """Each image with the most similar one of the training, if it is similar at all."""
    others = [path for path in training if facts[path].small is not None]
    pairs: list[tuple[str, str]] = []
    if not others:
        return pairs
    theirs = _vectors(others, facts)
    for start in range(0, len(paths), _ROWS):
        part = paths[start : start + _ROWS]
        alike = _vectors(part, facts) @ theirs.T
        best = alike.argmax(1)
        high = alike[np.arange(len(part)), best] >= _ALIKE
        pairs += [(part[i], others[best[i]]) for i in np.flatnonzero(high)]
    return pairs


def _vectors(paths: Sequence[str], facts: Mapping[str, ImageFacts]) -> NDArray[np.float32]:
    rows = np.stack([facts[path].small.ravel() for path in paths]).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _same_scene(pair: tuple[str, str]) -> bool:
    first, second = (
        to_gray_bytes(decode_image(get(path), path, stack="middle").img) for path in pair
    )
    if float(_fine(first) @ _fine(second)) >= _FINE:
        return True
    return _common_points(first, second) >= _POINTS


def _fine(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(gray, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    rest = (small - cv2.GaussianBlur(small, (0, 0), 3)).ravel()
    return rest / max(float(np.linalg.norm(rest)), 1e-6)


def _common_points(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    orb = cv2.ORB_create(600, edgeThreshold=16, patchSize=16)
    (points, codes), (others, other_codes) = (
        orb.detectAndCompute(_shrunk(gray), None) for gray in (first, second)
    )
    if codes is None or other_codes is None:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(codes, other_codes)
    if len(pairs) < _POINTS:
        return 0
    here = np.float32([points[pair.queryIdx].pt for pair in pairs])
    there = np.float32([others[pair.trainIdx].pt for pair in pairs])
    _, explained = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=6)
    return 0 if explained is None else int(explained.sum())


def _shrunk(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _SIDE / max(gray.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(gray, None, fx=scale, fy=scale, interpolation=how)
