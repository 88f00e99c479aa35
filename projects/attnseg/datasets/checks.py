"""What every data set of ours checks before the first image is read."""

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from os import path as osp
from typing import Any

import numpy as np
from mmengine.fileio import list_from_file
from PIL import Image

_MAPS = 50


def select_fraction(count: int, fraction: float, seed: int) -> list[int]:
    """Choose a seeded random part of ``count`` images.

    Subsets are nested: with one seed, the 10 % subset lies inside the 25 % subset, so that
    learning curves over fractions only ever add images.

    Args:
        count: Number of images there are, at least 0.
        fraction: Share to keep, in (0, 1]. At least one image is kept where there is one.
        seed: Seed of the permutation.

    Returns:
        Sorted indices into the images.

    Raises:
        ValueError: If ``fraction`` lies outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1], got {fraction}: 0.1 keeps 10 % of images.")
    kept = min(count, max(1, round(count * fraction)))
    order = np.random.default_rng(seed).permutation(count)
    return sorted(order[:kept].tolist())


def normalise_metainfo(metainfo: Mapping[str, Any] | None) -> dict[str, Any]:
    """Turn ``classes`` into a tuple: a bare string is one class or the name of a list file.

    Returns:
        A new dictionary; ``classes`` is a tuple where it was given.

    Raises:
        ValueError: If it is no list of names, a class is named twice, or the list is empty.
    """
    meta = dict(metainfo or {})
    classes = meta.get("classes")
    if classes is None:
        meta.pop("classes", None)
        return meta
    if isinstance(classes, str):
        classes = read_class_list(classes) if osp.isfile(classes) else (classes,)
    if not isinstance(classes, (list, tuple)) or not all(isinstance(n, str) for n in classes):
        raise ValueError(
            f"metainfo.classes must be a list of names, one name, or the path of a list file; got "
            f"{classes!r:.80}. Example: metainfo=dict(classes=('cell', 'debris'))."
        )
    classes = tuple(classes)
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if not classes or twice:
        raise ValueError(
            f"metainfo.classes must name each class once; got {classes}"
            + (f", with {twice} more than once." if twice else ", which is empty.")
        )
    meta["classes"] = classes
    return meta


def read_class_list(path: str) -> tuple[str, ...]:
    """Read class names, one a line; empty lines and lines that start with ``#`` are left out."""
    lines = (line.strip() for line in list_from_file(path))
    return tuple(line for line in lines if line and not line.startswith("#"))


def check_palette(palette: Sequence[Any], classes: Sequence[str]) -> None:
    """Raise ``ValueError`` unless there is one colour for each class."""
    if len(palette) != len(classes):
        raise ValueError(
            f"metainfo.palette has {len(palette)} colours for {len(classes)} classes: give one "
            "colour a class, or leave the palette out to have one made."
        )


def make_palette(count: int) -> list[tuple[int, int, int]]:
    """Make ``count`` colours that differ: hues a golden ratio apart, three brightnesses.

    Returns:
        RGB colours, 0 to 255.
    """
    colours = []
    for index in range(count):
        hue = (0.07 + index * 0.618033988749895) % 1.0
        value = (1.0, 0.75, 0.55)[index // 7 % 3]
        ramp = [abs((hue * 6 + shift) % 6 - 3) - 1 for shift in (0, 4, 2)]
        red, green, blue = (
            round(255 * value * (0.25 + 0.75 * min(1, max(0, level)))) for level in ramp
        )
        colours.append((red, green, blue))
    return colours


def check_binary_maps(paths: Iterable[str], classes: Sequence[str]) -> None:
    """Refuse masks of 0 and 255 for two classes: all their objects would be void.

    The network would learn the background alone, and score an mIoU of 1. Up to 50 maps are read,
    and none behind the first with another label; those that cannot be read here are left to the
    check of each sample.

    Args:
        paths: Of the label maps; those on other machines are passed over.
        classes: Names of the labels 0 and 1.

    Raises:
        ValueError: The maps hold both 0 and 255, and no other label; names one of them, and how to
            convert it.
    """
    background, example, count = False, None, 0
    for path in islice(filter(_is_local, paths), _MAPS):
        try:
            with Image.open(path) as file:
                labels = np.asarray(file)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
        if labels.ndim != 2 or ((labels != 0) & (labels != 255)).any():
            return
        count += 1
        background = background or bool((labels == 0).any())
        if example is None and (labels == 255).any():
            example = path
    if background and example is not None:
        raise ValueError(
            f"segmentation map '{example}' holds 255, and the {count} maps that were looked at "
            f"hold no label but 0 and 255: 255 means 'not judged', so that no pixel of class "
            f"'{classes[1]}' is left. Objects need label 1 ('{classes[1]}'). Convert each map to "
            "0 and 1: cv2.imwrite(path, (cv2.imread(path, 0) > 127).astype('uint8'))."
        )


def check_paths(
    data_root: str | None, ann_file: str | None, data_prefix: Mapping[str, str | None]
) -> None:
    """Check that the folders and the annotation file of a config exist.

    Args:
        data_root: The ``data_root`` of the config.
        ann_file: Joined path of the annotation file; empty where the data set has none.
        data_prefix: Joined folders by key.

    Raises:
        FileNotFoundError: Naming the path, the config key and the fix. ``data_root`` is looked
            at first, because everything below it is missing with it.
    """
    if data_root and _is_local(data_root) and not osp.isdir(data_root):
        raise FileNotFoundError(
            f"data folder '{data_root}' does not exist (config key data_root; working folder "
            f"{osp.abspath('.')}). Put the data there, or give its place: --data DIR."
        )
    if ann_file and _is_local(ann_file) and not osp.exists(ann_file):
        raise FileNotFoundError(
            f"annotation file '{ann_file}' does not exist (config key ann_file, below "
            f"data_root '{data_root or ''}'). {_nearest(ann_file)} Correct ann_file, or make the "
            "file with the converter of the data set in tools/dataset_converters."
        )
    for key, folder in data_prefix.items():
        if folder and _is_local(folder) and not osp.isdir(folder):
            raise FileNotFoundError(
                f"folder '{folder}' does not exist (config key data_prefix.{key}, below "
                f"data_root '{data_root or ''}'). {_nearest(folder)} Correct data_prefix.{key} or "
                "unpack the data there."
            )


def _is_local(path: str) -> bool:
    return "://" not in path


def _nearest(path: str) -> str:
    """Say what the closest folder that exists holds."""
    folder = osp.dirname(osp.normpath(path)) or "."
    while not osp.isdir(folder):
        folder = osp.dirname(folder) or "."
    names = sorted(os.listdir(folder))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"'{folder}' holds: {shown or 'nothing'}."


def join(root: str | None, path: str) -> str:
    """Join as mmengine does: absolute paths and URLs stay as they are."""
    if not root or not path or osp.isabs(path) or not _is_local(path):
        return path
    return osp.join(root, path)
