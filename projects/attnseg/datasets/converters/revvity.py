"""Revvity-25 -> COCO instances json, split by a seed where the set has no split of its own."""

import re
from pathlib import Path

from .image_files import ImageFiles
from .published import convert_published
from .split import check_targets, is_ours, split_by_seed

CLASSES = ("cell",)
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def convert_revvity(
    root: str | Path,
    ann_file: str | Path | None = None,
    out: str | Path | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    merge: bool = False,
) -> list[str]:
    """Write ``annotations/instances_<split>.json``.

    Several json files below ``root`` are the splits that their names say (``train``, ``valid``,
    ``test``); a single one is parted into train and val at random. Images are found wherever
    they lie below ``root``.

    Args:
        root: Folder with images and COCO json.
        ann_file: The one json to part, in place of those below ``root``.
        out: Folder to write to, which file names become relative to; ``root`` if left out.
        val_fraction: Share of images for val, in (0, 1), where the set has no split.
        seed: Seed of that choice.
        merge: Make all categories of the file one class.

    Returns:
        A line for each file written: its path and what is in it.

    Raises:
        FileNotFoundError: If there is no json, or an image is missing.
        ValueError: Naming the file, if it is damaged, has several categories, an image has
            another size than it says, the names of several files say no split, or a file that
            this package did not write would be replaced.
    """
    root, out = Path(root), Path(out or root)
    target = out / "annotations"
    sources = {"": Path(ann_file)} if ann_file else _find(root)
    made = ("train", "val") if "" in sources else sources
    check_targets(out, [f"instances_{split}.json" for split in made], sources.values())
    files = ImageFiles(root, out)
    splits = {
        split: convert_published(path, files, CLASSES, merge) for split, path in sources.items()
    }
    if "" in splits:
        splits = split_by_seed(splits[""], val_fraction, seed)
    return [
        made.write(target / f"instances_{split}.json", CLASSES) for split, made in splits.items()
    ]


def _find(root: Path) -> dict[str, Path]:
    paths = [path for path in sorted(root.rglob("*.json")) if not is_ours(path)]
    if not paths:
        raise FileNotFoundError(
            f"no json below '{root}', besides what attnseg writes: put the annotations of "
            "Revvity-25 there, or name the file: --ann-file FILE."
        )
    if len(paths) == 1:
        return {_split_of(paths[0]): paths[0]}
    found: dict[str, Path] = {}
    for path in paths:
        split = _split_of(path)
        if not split or split in found:
            raise ValueError(
                f"'{path}' is one of {len(paths)} json files below '{root}', and its name says "
                "no split (train, val, test) of its own: name the one file: --ann-file FILE."
            )
        found[split] = path
    return found


def _split_of(path: Path) -> str:
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "")
