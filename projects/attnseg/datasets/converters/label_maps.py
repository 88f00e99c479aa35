"""Images and label maps as files (microscopes, Fiji, Cellpose) -> a data folder of our layout."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from .label_pairs import encode_pairs, pair_files
from .panoptic_from_instances import panoptic_from_instances
from .split import Split, split_by_seed

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
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as made:
        part = Path(made) / out.name
        lines = [_write(part, split, kept, images, name) for split, kept in splits.items()]
        os.replace(part, out)
    return [line.replace(str(part), str(out)) for line in lines]


def _write(root: Path, split: str, kept: Split, images: Path, name: str) -> str:
    ann_file = root / f"annotations/instances_{split}.json"
    line = kept.write(ann_file, (name,))
    folder = root / "images" / split
    folder.mkdir(parents=True)
    for image in kept.images:
        shutil.copyfile(images / image["file_name"], folder / image["file_name"])
    panoptic_from_instances(
        ann_file,
        root / f"annotations/panoptic_{split}.json",
        root / "panoptic" / split,
        "background",
    )
    return line
