"""Cityscapes instances: a text file an image, and an 8-bit grey PNG an instance.

The zip file holds ``<city>_<sequence>_<frame>_pred.txt`` with a line ``masks/<name>.png labelId
score`` for each instance; the mask is 255 inside and 0 outside, as large as the image.
"""

import math
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from attnseg.coco_values import is_number
from attnseg.evaluation.submission.archive import ZipReader, ZipWriter, checked_image
from attnseg.evaluation.submission.cityscapes import frame_of, frame_of_image
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.png import png_bytes
from attnseg.evaluation.submission.saved import SavedPredictions
from attnseg.evaluation.submission.target import (
    Target,
    category_ids,
    check_image_files,
    pair_images,
)

FOLDER = "masks"


def pack(saved: SavedPredictions, target: Target, archive: ZipWriter, stem: str) -> None:
    """Write the text file and the masks of each image; empty masks are left out.

    Args:
        saved: Predictions with instances.
        target: Images and categories, which are matched with the classes by name.
        archive: Zip file.
        stem: Not part of any name in this format.

    Raises:
        ValueError: If the predictions do not fit the target.
    """
    saved.require("instances")
    things = [label for label, thing in enumerate(saved.things) if thing]
    ids = category_ids(saved, things, target, things_only=True)
    categories = dict(zip(things, ids, strict=True))
    for frame, _, image in pair_images(saved, target, frame_of_image):
        found = saved.instances(image)
        lines = []
        for index, label in enumerate(found.labels.tolist()):
            mask = found.mask(index)
            if label not in categories or not mask.any():
                continue
            name = f"{FOLDER}/{frame}_{index:04d}.png"
            archive.add(name, png_bytes(mask.astype(np.uint8) * np.uint8(255)))
            lines.append(f"{name} {categories[label]} {float(found.scores[index])!r}\n")
        archive.add(f"{frame}_pred.txt", "".join(lines).encode(), compress=True)


def validate(archive: ZipReader, target: Target, stem: str, findings: Findings) -> None:
    """Report what is wrong with such a file."""
    allowed = {category["id"] for category in target.categories if category["isthing"]}
    names = archive.check_names(findings)
    masks = {name for name in names if name.endswith(".png")}
    texts = [name for name in names if name not in masks]
    used: set[str] = set()
    total = 0
    for _, text, size in check_image_files(texts, _text_frame, target, frame_of_image, findings):
        first_size = size
        for mask, label, score, where in _lines(archive, text, findings):
            total += 1
            if label not in allowed:
                findings.error("unknown category: no labelId with instances", f"{label}, {where}")
            if not is_number(score):
                findings.error("score that is no number", f"{score}, {where}")
            elif not 0 <= score <= 1:
                findings.warn("score outside 0 to 1: the server only sorts by scores", where)
            if mask in used:
                findings.error("mask that is named twice", f"{mask}, {where}")
                continue
            used.add(mask)
            if mask not in masks:
                findings.error("missing file", f"{mask}, {where}")
                continue
            pixels = checked_image(archive, mask, ("L", "1"), first_size, findings)
            if pixels is None:
                continue
            height, width = pixels.shape
            first_size = first_size or (height, width)
            if len(np.unique(pixels[pixels != 0])) > 1:
                findings.error("mask that is not binary", mask)
            if not pixels.any():
                findings.warn("empty mask", mask)
    for name in sorted(masks - used):
        findings.error("surplus file, which no text file names", name)
    if texts and not total:
        findings.error("no prediction at all", "all text files are empty")


def _lines(
    archive: ZipReader, text: str, findings: Findings
) -> Iterator[tuple[str, int | None, float, str]]:
    """Mask, labelId, score and place of each line of a text file."""
    try:
        content = archive.read(text).decode("utf-8")
    except ValueError as error:
        findings.error("damaged file", f"{text}: {error}")
        return
    for number, line in enumerate(content.splitlines(), 1):
        where = f"{text} line {number}"
        try:
            path, label, score = line.split(" ")
            label_id, value = float(label), float(score)
        except ValueError:
            findings.error("line that is not 'mask labelId score'", where)
            continue
        mask = _member(text, path)
        if mask is None:
            findings.error("mask outside the zip file", f"{path}, {where}")
            continue
        whole = math.isfinite(label_id) and label_id == int(label_id)
        yield mask, int(label_id) if whole else None, value, where


def _member(text: str, path: str) -> str | None:
    """The member that a path in a text file leads to; None where it leaves the zip file."""
    if PurePosixPath(path).is_absolute() or "\\" in path:
        return None
    parts: list[str] = []
    for part in (PurePosixPath(text).parent / path).parts:
        if part != "..":
            parts.append(part)
        elif not parts:
            return None
        else:
            parts.pop()
    return "/".join(parts)


def _text_frame(name: str) -> str | None:
    return frame_of(name) if name.endswith(".txt") else None
