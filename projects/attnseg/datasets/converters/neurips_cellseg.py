"""NeurIPS 2022 Cell Segmentation (images and label maps) -> COCO instances json."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.utils import track_iter_progress

from ..transforms.decode import decode_image
from .image_files import check_size, list_images, read_size, relative
from .label_map import check_label_map, encode_label_map
from .split import Split, check_targets, split_by_seed

CLASSES = ("cell",)
_FOLDERS = {"train": ("Training-labeled", "train"), "val": ("Tuning", "val")}
_LABEL = "_label"

Pair = tuple[Path, Path]


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
    pairs = {"train": pair_files(train)}
    if val:
        pairs["val"] = pair_files(val)
    check_targets(out, [f"instances_{split}.json" for split in _FOLDERS], ())
    splits = {split: _encode(found, out, workers) for split, found in pairs.items()}
    if not val:
        splits = split_by_seed(splits["train"], val_fraction, seed)
    return [
        made.write(out / "annotations" / f"instances_{split}.json", CLASSES)
        for split, made in splits.items()
    ]


def pair_files(folder: Path) -> list[Pair]:
    """Pair ``images/<stem>.<suffix>`` with ``labels/<stem>_label.<suffix>``, by stem.

    Raises:
        FileNotFoundError: If a folder is missing or empty, or a file has no partner; naming it.
        ValueError: If two images or two labels have one stem.
    """
    for name in ("images", "labels"):
        if not (folder / name).is_dir():
            raise FileNotFoundError(
                f"'{folder}' has no folder '{name}': expected images/<name>.png (or bmp, jpg, "
                "tif) and labels/<name>_label.tiff."
            )
    images = _by_stem(folder / "images", "")
    labels = _by_stem(folder / "labels", _LABEL)
    for have, lack, what, other in (
        (images, labels, "image", "label"),
        (labels, images, "label", "image"),
    ):
        alone = [path for stem, path in have.items() if stem not in lack]
        if alone:
            raise FileNotFoundError(
                f"{len(alone)} of {len(have)} {what}s in '{folder}' have no {other}, the first is "
                f"'{alone[0]}': add the {other}s, or move these {what}s away."
            )
    return [(path, labels[stem]) for stem, path in images.items()]


def _by_stem(folder: Path, ending: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_images(folder):
        stem = path.stem.removesuffix(ending)
        if stem in found:
            raise ValueError(
                f"'{found[stem]}' and '{path}' have one name: which of them is meant cannot be "
                "told. Leave one of them there."
            )
        found[stem] = path
    if not found:
        raise FileNotFoundError(f"no image file in '{folder}': unpack the set there.")
    return found


def encode_pair(pair: Pair) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    """Encode the label map of an image, one object a cell, of category 1.

    Returns:
        Height and width of the image; and the objects, by ascending number in the map.

    Raises:
        ValueError: Naming the file, if a file cannot be decoded, the label is no label map, or
            the two differ in size.
    """
    image, label = pair
    size = read_size(image)
    check_size(image, size, label, read_size(label))
    stored = decode_image(label.read_bytes(), str(label), labels=True).img
    ids = check_label_map(stored, str(label))
    return size, [{**part, "category_id": 1} for part in encode_label_map(ids)[1]]


def _encode(pairs: Sequence[Pair], out: Path, workers: int) -> Split:
    split = Split()
    with _mapping(workers) as mapped:
        results = mapped(encode_pair, pairs)
        for (image, _), (size, objects) in zip(
            pairs, track_iter_progress((results, len(pairs))), strict=True
        ):
            name = relative(image, out)
            split.add({"file_name": name, "height": size[0], "width": size[1]}, objects)
    return split


@contextmanager
def _mapping(workers: int) -> Iterator[Any]:
    if workers <= 1:
        yield map
        return
    with ProcessPoolExecutor(workers) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
