"""Class maps as grey PNG files, in 8 or 16 bits."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnseg._atomic import write_bytes
from attnseg.evaluation.submission.png import png_bytes


def class_png_type(num_classes: int, offset: int = 0) -> type[np.uint8] | type[np.uint16]:
    """Pixel type for values ``offset``..``offset + C - 1`` with the highest value left for void.

    It follows from the number of classes, never from one map: all files of a set are alike.

    Raises:
        ValueError: If the values do not fit into 16 bits.
    """
    for kind in (np.uint8, np.uint16):
        if offset + num_classes <= np.iinfo(kind).max:
            return kind
    raise ValueError(
        f"{num_classes} classes from value {offset} on do not fit into a 16-bit PNG, which holds "
        "65535 and one value for void."
    )


def write_class_png(
    path: str | Path,
    labels: np.ndarray,
    num_classes: int,
    offset: int = 0,
    void: int | None = None,
) -> None:
    """Write a class map, atomically; folders are created.

    Args:
        path: PNG file to write.
        labels: Integers (H, W); 0..C-1 are classes, anything else is void.
        num_classes: Number of classes C; decides between 8 and 16 bits.
        offset: Added to the classes, for formats that count from 1.
        void: Value in the file of pixels that are no class; without it they are refused.

    Raises:
        ValueError: If the map is not an integer map (H, W), if it has void pixels and ``void`` is
            not given, or if ``void`` does not fit or means a class.
        OSError: If the file cannot be written; an old one is then unchanged.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"'{path}': a class map has integers of shape (H, W), not {labels.dtype} of shape "
            f"{labels.shape}."
        )
    kind = class_png_type(num_classes, offset)
    is_class = (labels >= 0) & (labels < num_classes)
    # In the file's own type only where it is known to fit: int64 maps may hold anything.
    values: NDArray[Any] = np.where(is_class, labels, 0).astype(kind) + np.array(offset, kind)
    if not is_class.all():
        if void is None:
            raise ValueError(
                f"'{path}': label {labels[~is_class][0]} is no class: there are {num_classes} "
                f"classes (0..{num_classes - 1}), and no value stands for void."
            )
        if not 0 <= void <= np.iinfo(kind).max or offset <= void < offset + num_classes:
            raise ValueError(
                f"'{path}': void value {void} is a class or does not fit into {kind.__name__}: "
                f"classes are {offset}..{offset + num_classes - 1}."
            )
        values[~is_class] = void
    write_bytes(path, png_bytes(values))
