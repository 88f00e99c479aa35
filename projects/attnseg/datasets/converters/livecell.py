"""LIVECell -> COCO instances json, whole or by cell type."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .image_files import ImageFiles, find_one
from .published import convert_published
from .split import Split, check_targets

CLASSES = ("cell",)
SPLITS = ("train", "val", "test")


def cell_type(file_name: str) -> str:
    """Read the cell type from a file name: ``A172_Phase_A7_1_00d00h00m_1.tif`` -> ``a172``."""
    return Path(file_name).name.partition("_")[0].lower()


def convert_livecell(
    root: str | Path,
    images: str | Path | None = None,
    out: str | Path | None = None,
    cell_types: Sequence[str] = (),
    ann_files: Mapping[str, str | Path] | None = None,
) -> list[str]:
    """Write ``annotations/instances_<split>.json`` of the splits that are there.

    Images are found wherever they lie below ``images``, flat or in a folder a cell type. Both
    published forms of annotations are read, a list and an object by id (single cell types and
    parts of the training set).

    Args:
        root: Folder with ``livecell_coco_<split>.json`` anywhere below it.
        images: Folder of the images; ``root`` if left out.
        out: Folder to write to, which file names become relative to; ``root`` if left out.
        cell_types: Types to keep, such as ``A172``; all of them if empty.
        ann_files: Json by split, in place of those of the whole set.

    Returns:
        A line for each file written: its path and what is in it.

    Raises:
        FileNotFoundError: If no annotation file is found, or an image is missing.
        ValueError: Naming the file, if it is damaged, an image has another size than it says, no
            image is of the wanted types, a published name stands twice below ``root``, or a file
            that this package did not write would be replaced; then no split is written.
    """
    root, out = Path(root), Path(out or root)
    sources = {split: Path(path) for split, path in (ann_files or _find(root)).items()}
    check_targets(out, [f"instances_{split}.json" for split in sources], sources.values())
    files = ImageFiles(Path(images or root), out)
    wanted = {name.lower() for name in cell_types}
    splits = {split: _convert(path, files, wanted) for split, path in sources.items()}
    return [
        made.write(out / "annotations" / f"instances_{split}.json", CLASSES)
        for split, made in splits.items()
    ]


def _find(root: Path) -> dict[str, Path]:
    paths = {split: find_one(root, f"livecell_coco_{split}.json") for split in SPLITS}
    found = {split: path for split, path in paths.items() if path}
    if not found:
        raise FileNotFoundError(
            f"no livecell_coco_train.json, _val.json or _test.json below '{root}': put LIVECell's "
            "annotations there, or name the files: --ann-file train=FILE."
        )
    return found


def _convert(path: Path, files: ImageFiles, wanted: set[str]) -> Split:
    def choose(names: Sequence[str]) -> list[str]:
        seen = {cell_type(name) for name in names}
        if wanted - seen:
            raise ValueError(
                f"'{path}' has no image of the cell types {sorted(wanted - seen)}; it has "
                f"{sorted(seen)}, read from the file names up to the first '_'."
            )
        return [name for name in names if not wanted or cell_type(name) in wanted]

    return convert_published(path, files, CLASSES, choose=choose)
