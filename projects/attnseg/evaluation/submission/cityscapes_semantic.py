"""Cityscapes pixel-level labels: one 8-bit grey PNG an image, values are labelIds, not trainIds.

The zip file holds ``<city>_<sequence>_<frame>_labelIds.png``; void is 0 (unlabeled).
"""

import numpy as np

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

UNLABELED = 0


def pack(saved: SavedPredictions, target: Target, archive: ZipWriter, stem: str) -> None:
    """Write the label map of each image.

    Args:
        saved: Predictions with semantic or panoptic maps.
        target: Images and categories, which are matched with the classes by name.
        archive: Zip file.
        stem: Not part of any name in this format.

    Raises:
        ValueError: If the predictions do not fit the target.
    """
    ids = category_ids(saved, range(len(saved.classes)), target)
    values = np.array([*ids, UNLABELED], dtype=np.uint8)
    for frame, _, image in pair_images(saved, target, frame_of_image):
        archive.add(f"{frame}_labelIds.png", png_bytes(values[saved.class_map(image)]))


def validate(archive: ZipReader, target: Target, stem: str, findings: Findings) -> None:
    """Report what is wrong with such a file."""
    allowed = [UNLABELED, *sorted(target.category_ids)]
    names = archive.check_names(findings)
    found = check_image_files(names, _png_frame, target, frame_of_image, findings)
    for _, name, size in found:
        pixels = checked_image(archive, name, ("L",), size, findings)
        if pixels is None:
            continue
        for value in np.setdiff1d(pixels, allowed).tolist():
            findings.error(
                "unknown category: no labelId that is evaluated (trainIds, perhaps?)",
                f"{value} in {name}",
            )
        if not pixels.any():
            findings.warn("image without a label", name)


def _png_frame(name: str) -> str | None:
    return frame_of(name) if name.endswith(".png") else None
