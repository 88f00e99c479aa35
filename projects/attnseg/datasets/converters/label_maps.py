"""Images and label maps as files (microscopes, Fiji, Cellpose) -> a data folder of our layout."""

import os
import shutil
from pathlib import Path

from .label_pairs import encode_pairs, pair_files
from .panoptic_from_instances import panoptic_from_instances
from .split import split_by_seed

# Longest first: "_cp_masks" ends with "_masks".
LABEL_ENDINGS = ("_cp_masks", "_masks", "_mask", "_label", "_labels")


def convert_label_maps(
    images: str | Path,
    labels: str | Path,
    out: str | Path,
    name: str = "cell",
    val_fraction: float = 0.2,
    seed: int = 0,
    workers: int = 1,
) -> list[str]:
    """Make ``images/``, ``annotations/`` and ``panoptic/``, each with ``train`` and ``val``.

    Images are copied unchanged, in their depth and format. A number of a label map is one object,
    also where its parts do not touch; 0 is background. A map of zeros is an image without objects.
    The panoptic form has the objects as things and all else as stuff, ``background``.

    Args:
        images: Folder of the images (TIFF, PNG, JPEG, BMP).
        labels: Folder of the label maps, each named as its image, or with one of
            ``LABEL_ENDINGS`` behind that name.
        out: Folder to make. It appears when the whole set is there.
        name: Of the class of the objects.
        val_fraction: Share of the images for ``val``, in (0, 1).
        seed: Of the choice of these.
        workers: Processes that encode label maps; the result does not depend on it.

    Returns:
        A line for each split: its path and what is in it.

    Raises:
        FileExistsError: If ``out`` is there already and not empty.
        FileNotFoundError: If a folder is missing, or an image or label map has no partner.
        ValueError: Naming the file, if it cannot be decoded, is no label map, or has another size
            than its image; or if a split would be empty, or the class is called ``background``.
    """
    images, labels, out = Path(images), Path(labels), Path(out)
    for folder in (images, labels):
        if not folder.is_dir():
            raise FileNotFoundError(f"folder '{folder}' does not exist: give the right one.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"'{out}' is there already: give another --out, or remove it.")
    pairs = pair_files(images, labels, LABEL_ENDINGS)
    splits = split_by_seed(encode_pairs(pairs, lambda path: path.name, workers), val_fraction, seed)
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    lines = []
    for split, made in splits.items():
        ann_file = part / f"annotations/instances_{split}.json"
        lines.append(made.write(ann_file, (name,)).replace(str(part), str(out)))
        folder = part / "images" / split
        folder.mkdir(parents=True)
        for image in made.images:
            shutil.copyfile(images / image["file_name"], folder / image["file_name"])
        panoptic_from_instances(
            ann_file,
            part / f"annotations/panoptic_{split}.json",
            part / "panoptic" / split,
            "background",
        )
    os.replace(part, out)
    return lines
