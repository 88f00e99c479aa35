"""Pairs of an image and its label map -> images and objects in COCO form."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.utils import track_iter_progress

from ..transforms.decode import decode_image
from .image_files import check_size, list_images, read_size
from .label_map import check_label_map, encode_label_map
from .split import Split

Pair = tuple[Path, Path]


def pair_files(images: Path, labels: Path, endings: Sequence[str]) -> list[Pair]:
    """Pair ``<name>.<suffix>`` in one folder with ``<name><ending>.<suffix>`` in another.

    Args:
        images: Folder of the images.
        labels: Folder of the label maps.
        endings: What may follow the name of the image in that of its label map; the first that a
            label map ends with is taken off.

    Returns:
        Image and label map, by the name of the image.

    Raises:
        FileNotFoundError: If a folder is empty, or a file has no partner; naming it.
        ValueError: If two images or two label maps have one name.
    """
    found, maps = _by_stem(images, ()), _by_stem(labels, endings)
    for have, lack, what, other, folder in (
        (found, maps, "image", "label", images),
        (maps, found, "label", "image", labels),
    ):
        alone = [path for stem, path in have.items() if stem not in lack]
        if alone:
            raise FileNotFoundError(
                f"{len(alone)} of {len(have)} {what}s in '{folder}' have no {other}, the first is "
                f"'{alone[0]}': add the {other}s, or move these {what}s away."
            )
    return [(path, maps[stem]) for stem, path in found.items()]


def _by_stem(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_images(folder):
        ending = next((ending for ending in endings if path.stem.endswith(ending)), "")
        stem = path.stem.removesuffix(ending)
        if stem in found:
            raise ValueError(
                f"'{found[stem]}' and '{path}' have one name: which of them is meant cannot be "
                "told. Leave one of them there."
            )
        found[stem] = path
    if not found:
        raise FileNotFoundError(f"no image file in '{folder}': put the files there.")
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


def encode_pairs(pairs: Sequence[Pair], name: Callable[[Path], str], workers: int) -> Split:
    """Encode the label maps of all pairs; the result does not depend on ``workers``.

    Args:
        pairs: Image and label map.
        name: Of an image, as the json is to list it.
        workers: Processes that encode label maps; each holds one map at a time.

    Raises:
        ValueError: As :func:`encode_pair`.
    """
    split = Split()
    with _mapping(workers) as mapped:
        results = mapped(encode_pair, pairs)
        for (image, _), (size, objects) in zip(
            pairs, track_iter_progress((results, len(pairs))), strict=True
        ):
            split.add({"file_name": name(image), "height": size[0], "width": size[1]}, objects)
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
