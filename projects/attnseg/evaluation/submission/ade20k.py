"""ADE20K scene parsing: one 8-bit grey PNG an image, values 1 to 150, named as the image.

The zip file holds ``ADE_test_XXXXXXXX.png`` (``ADE_val_...`` for the validation set).
"""

import re
from pathlib import PurePosixPath

import numpy as np

from attnseg.evaluation.submission.archive import ZipReader, ZipWriter, checked_image
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.png import png_bytes
from attnseg.evaluation.submission.saved import SavedPredictions
from attnseg.evaluation.submission.target import (
    Target,
    TargetImage,
    category_ids,
    check_image_files,
    pair_images,
)

VOID = 0
_NAME = re.compile(r"ADE_(test|val)_\d{8}$")


def pack(saved: SavedPredictions, target: Target, archive: ZipWriter, stem: str) -> None:
    """Write the label map of each image.

    Args:
        saved: Predictions with semantic or panoptic maps.
        target: Images and the 150 categories, which are matched with the classes by name.
        archive: Zip file.
        stem: Not part of any name in this format.

    Raises:
        ValueError: If the predictions do not fit the target.
    """
    ids = category_ids(saved, range(len(saved.classes)), target)
    values = np.array([*ids, VOID], dtype=np.uint8)
    for name, _, image in pair_images(saved, target, _image_name):
        archive.add(f"{name}.png", png_bytes(values[saved.class_map(image)]))


def validate(archive: ZipReader, target: Target, stem: str, findings: Findings) -> None:
    """Report what is wrong with such a file."""
    allowed = [VOID, *sorted(target.category_ids)]
    names = archive.check_names(findings)
    for _, name, size in check_image_files(names, _member_name, target, _image_name, findings):
        pixels = checked_image(archive, name, ("L",), size, findings)
        if pixels is None:
            continue
        for value in np.setdiff1d(pixels, allowed).tolist():
            findings.error("unknown category: no label from 1 to 150", f"{value} in {name}")
        if not pixels.all():
            findings.warn("pixels of label 0, which count as wrong", name)


def _member_name(name: str) -> str | None:
    path = PurePosixPath(name)
    # In the top folder of the zip file.
    return path.stem if name == f"{path.stem}.png" and _NAME.match(path.stem) else None


def _image_name(image: TargetImage) -> str:
    name = PurePosixPath(image.name).stem
    if not _NAME.match(name):
        raise ValueError(
            f"image '{image.name}' is not named ADE_test_XXXXXXXX or ADE_val_XXXXXXXX, which "
            "the ADE20K server goes by."
        )
    return name
