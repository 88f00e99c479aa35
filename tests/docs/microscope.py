"""Files as a microscope and a labelling program leave them: 16-bit TIFFs and label maps.

``python microscope.py SOURCE OUT [SIDE]`` writes ``OUT/microscope`` and ``OUT/labels`` from a
COCO-form data set (``images/*``, ``annotations/instances_*.json``), cut to SIDE pixels.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from attnseg.datasets.converters.panoptic_from_instances import decode_segmentation


def write_microscope(
    source: Path, out: Path, side: int | None = None, most: int | None = None
) -> list[Path]:
    """Write the images of a COCO-form set as 12 of 16 bits in gray, and their label maps.

    Args:
        source: Data set.
        out: Gets the folders ``microscope`` and ``labels``.
        side: Cut to that many pixels from the middle.
        most: At most that many images of each split.

    Returns:
        The images.
    """
    written = []
    for name in ("microscope", "labels"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        data = json.loads((source / f"annotations/instances_{split}.json").read_text())
        for image in data["images"][:most]:
            file = source / "images" / split / Path(image["file_name"]).name
            gray = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            # A camera's offset and gain; one value apart stays one value apart.
            deep = 200 + 14 * gray.astype(np.uint16)
            objects = [part for part in data["annotations"] if part["image_id"] == image["id"]]
            ids = label_map(objects, gray.shape)
            target = out / "microscope" / f"{split}_{file.stem}.tif"
            tifffile.imwrite(target, middle(deep, side), photometric="minisblack")
            labels = out / "labels" / f"{target.stem}_label.tif"
            tifffile.imwrite(labels, middle(ids, side), compression="zlib")
            written.append(target)
    return written


def label_map(objects: list[dict], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Numbers of the objects (H, W); the last of overlapping ones is on top."""
    ids = np.zeros(size, np.uint16)
    for number, part in enumerate(objects, 1):
        mask = decode_segmentation(part["segmentation"], size, f"object {part['id']}")
        ids[mask.astype(bool)] = number
    return ids


def middle(pixels: NDArray, side: int | None) -> NDArray:
    """Cut the middle out."""
    if side is None:
        return pixels
    y, x = ((length - side) // 2 for length in pixels.shape)
    return pixels[max(y, 0) : max(y, 0) + side, max(x, 0) : max(x, 0) + side]


if __name__ == "__main__":
    write_microscope(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
