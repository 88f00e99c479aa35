"""EVICAN2 -> COCO instances json of train, val and the three difficulties of its evaluation set."""

from pathlib import Path

from .image_files import ImageFiles, find_one
from .published import convert_published
from .split import check_targets

CLASSES = ("cell", "nucleus")
# Split in our names: the published name of its json, and of the folder of its images.
PUBLISHED = {
    "train": ("instances_train2019_EVICAN2.json", "EVICAN_train2019"),
    "val": ("instances_val2019_EVICAN2.json", "EVICAN_val2019"),
    "eval_easy": ("instances_eval2019_easy_EVICAN2.json", "EVICAN_eval2019"),
    "eval_medium": ("instances_eval2019_medium_EVICAN2.json", "EVICAN_eval2019"),
    "eval_difficult": ("instances_eval2019_difficult_EVICAN2.json", "EVICAN_eval2019"),
}


def convert_evican(
    root: str | Path, out: str | Path | None = None, merge: bool = False
) -> list[str]:
    """Write ``annotations/instances_<split>.json`` for each published json that is there.

    Images of a split are looked for in its published folder, wherever that lies below ``root``,
    and in all of ``root`` where there is no such folder.

    The training images are annotated in part. What is not annotated is dealt with in the published
    images themselves, whose background is blurred; images are taken as listed, no region is
    ignored, and what is not annotated counts as background.

    Args:
        root: Folder with the json files and image folders anywhere below it.
        out: Folder to write to, which file names become relative to; ``root`` if left out.
        merge: Make cells and nuclei one class, ``cell``.

    Returns:
        A line for each file written: its path and what is in it.

    Raises:
        FileNotFoundError: If none of the json files is found, or an image is missing.
        ValueError: Naming the file, if it is damaged, has other classes than ``Cell`` and
            ``Nucleus``, an image has another size than it says, a published name stands twice
            below ``root``, or a file that this package did not write would be replaced; then no
            split is written.
    """
    root, out = Path(root), Path(out or root)
    found = {split: find_one(root, name) for split, (name, _) in PUBLISHED.items()}
    sources = {split: path for split, path in found.items() if path}
    if not sources:
        names = ", ".join(name for name, _ in PUBLISHED.values())
        raise FileNotFoundError(f"none of {names} is below '{root}': put EVICAN2's files there.")
    check_targets(out, [f"instances_{split}.json" for split in sources], sources.values())
    indexed: dict[Path, ImageFiles] = {}
    splits = {}
    for split, path in sources.items():
        folder = find_one(root, PUBLISHED[split][1]) or root
        if folder not in indexed:
            indexed[folder] = ImageFiles(folder, out)
        splits[split] = convert_published(path, indexed[folder], CLASSES, merge)
    classes = CLASSES[:1] if merge else CLASSES
    return [
        made.write(out / "annotations" / f"instances_{split}.json", classes)
        for split, made in splits.items()
    ]
