"""NeurIPS 2022 Cell Segmentation (images and label maps) -> COCO instances json."""

from pathlib import Path

from .image_files import relative
from .label_pairs import Pair, encode_pairs, pair_files
from .split import check_targets, split_by_seed

CLASSES = ("cell",)
_FOLDERS = {"train": ("Training-labeled", "train"), "val": ("Tuning", "val")}
_LABEL = "_label"


def convert_neurips_cellseg(
    root: str | Path,
    out: str | Path | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    workers: int = 1,
) -> list[str]:
    """Write ``annotations/instances_train.json`` and ``instances_val.json``.

    ``Training-labeled`` is train and ``Tuning`` is val, each with ``images`` and ``labels``;
    without ``Tuning``, or with ``images`` and ``labels`` straight in ``root``, images are parted at
    random. The result does not depend on ``workers``.

    Args:
        root: Folder of the set.
        out: Folder to write to, which file names become relative to; ``root`` if left out.
        val_fraction: Share of images for val, in (0, 1), where the set has no split.
        seed: Seed of that choice.
        workers: Processes that encode label maps; each holds one map at a time.

    Returns:
        A line for each file written: its path and what is in it.

    Raises:
        FileNotFoundError: If folders are missing, or an image or a label has no partner.
        ValueError: Naming the file, if it cannot be decoded, is no label map, or has another size
            than its image, or a file that this package did not write would be replaced; then no
            split is written.
    """
    root, out = Path(root), Path(out or root)
    folders = {
        split: next((root / name for name in names if (root / name).is_dir()), None)
        for split, names in _FOLDERS.items()
    }
    train, val = folders["train"] or root, folders["val"]
    pairs = {"train": _pairs(train)}
    if val:
        pairs["val"] = _pairs(val)
    check_targets(out, [f"instances_{split}.json" for split in _FOLDERS], ())
    splits = {
        split: encode_pairs(found, lambda path: relative(path, out), workers)
        for split, found in pairs.items()
    }
    if not val:
        splits = split_by_seed(splits["train"], val_fraction, seed)
    return [
        made.write(out / "annotations" / f"instances_{split}.json", CLASSES)
        for split, made in splits.items()
    ]


def _pairs(folder: Path) -> list[Pair]:
    for name in ("images", "labels"):
        if not (folder / name).is_dir():
            raise FileNotFoundError(
                f"'{folder}' has no folder '{name}': expected images/<name>.png (or bmp, jpg, "
                "tif) and labels/<name>_label.tiff."
            )
    return pair_files(folder / "images", folder / "labels", (_LABEL,))
