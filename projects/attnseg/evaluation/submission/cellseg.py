"""NeurIPS 2022 Cell Segmentation: one label map an image, 0 for background, one id a cell.

The zip file holds ``<image stem>_label.tiff``, 16-bit, or 32-bit above 65535 cells.
"""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
import tifffile
from numpy.typing import NDArray

from attnseg.coco_files import relabel
from attnseg.evaluation.label_maps import paint_masks, painting_order
from attnseg.evaluation.submission.archive import ZipReader, ZipWriter
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.saved import OFFSET, SavedImage, SavedPredictions
from attnseg.evaluation.submission.target import Target, check_image_files, pair_images
from attnseg.evaluation.submission.target import stem as image_stem

ENDING = "_label.tiff"
_KINDS = ("uint16", "uint32", "int16", "int32")
_DAMAGE = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def pack(
    saved: SavedPredictions, target: Target, archive: ZipWriter, stem: str, min_score: float = 0.5
) -> None:
    """Write the label map of each image.

    The cells are those that ``attnseg.CellMetric`` measures with ``score_thr`` equal to
    ``min_score``: the instances, painted in the order of their scores, so that of two that overlap
    the surer one is on top; or the things of the panoptic map of a model that gives only that.

    Args:
        saved: Predictions with instances or panoptic maps.
        target: Images.
        archive: Zip file.
        stem: Not part of any name in this format.
        min_score: Instances below it are left out; panoptic maps have no scores.

    Raises:
        ValueError: If the predictions do not fit the target.
    """
    for name, _, image in pair_images(saved, target, image_stem):
        if "instances" in image.parts:
            ids = _from_instances(saved, image, min_score)
        elif "panoptic" in image.parts:
            ids = _from_panoptic(saved.panoptic(image), saved.things)
        else:
            saved.require("instances")
        present = np.unique(ids)
        present = present[present > 0]
        table: Mapping[int, int] = {int(value): i for i, value in enumerate(present, 1)}
        kind = np.uint16 if len(present) <= np.iinfo(np.uint16).max else np.uint32
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, relabel(ids, table, 0, kind), compression="zlib")
        archive.add(f"{name}{ENDING}", buffer.getvalue())


def _from_panoptic(values: NDArray[np.int32], things: tuple[bool, ...]) -> NDArray[np.int32]:
    is_thing = np.array([*things, False])
    return np.where(is_thing[values % OFFSET], values + 1, 0)


def _from_instances(
    saved: SavedPredictions, image: SavedImage, min_score: float
) -> NDArray[np.int32]:
    found = saved.instances(image)
    things = np.flatnonzero(saved.things)
    order = painting_order(found.scores, found.labels, things, min_score)
    return paint_masks(found.masks, order, image.size, f"image '{image.name}'")


def validate(archive: ZipReader, target: Target, stem: str, findings: Findings) -> None:
    """Report what is wrong with such a file."""
    names = archive.check_names(findings)
    for _, name, size in check_image_files(names, _member_stem, target, image_stem, findings):
        try:
            with tifffile.TiffFile(io.BytesIO(archive.read(name))) as tiff:
                page = tiff.pages.first
                wrong = len(tiff.pages) != 1 or len(page.shape) != 2
                shape, kind = page.shape, str(page.dtype)
                if wrong or kind not in _KINDS:
                    findings.error(
                        "image that is not one 16- or 32-bit integer map (H, W)",
                        f"{name} has {len(tiff.pages)} page(s) of {kind} {shape}",
                    )
                    continue
                if size is not None and shape != size:
                    findings.error("image of the wrong size", f"{name} is {shape}, not {size}")
                    continue
                ids = page.asarray()
        except _DAMAGE as error:
            findings.error("damaged file", f"{name}: {error}")
            continue
        if ids.min() < 0:
            findings.error("negative id", f"{ids.min()} in {name}")
        if not ids.any():
            findings.warn("image without a cell", name)


def _member_stem(name: str) -> str | None:
    path = PurePosixPath(name)
    return path.name.removesuffix(ENDING) if path.name.endswith(ENDING) else None
