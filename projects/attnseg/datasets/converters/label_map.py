"""Label maps (0 for background, one number a cell) -> run-length codes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools


def encode_label_map(ids: NDArray[Any]) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Encode every cell of a label map in one pass, with no mask of any cell in memory.

    The runs of equal numbers of the whole map, in the column order of COCO's codes, are sorted by
    number; those of one number are the runs of its mask. Parts of a cell that do not touch stay
    one cell.

    Args:
        ids: Whole numbers (H, W), 0 and up, in any order and with gaps.

    Returns:
        The N numbers that occur, ascending, without 0; and N dictionaries with ``segmentation``
        (compressed RLE), ``area`` in pixels and ``bbox`` (x, y, width, height).
    """
    height, width = ids.shape
    flat = ids.T.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts].astype(np.int64)
    order = np.argsort(values, kind="stable")
    order = order[np.searchsorted(values[order], 1) :]
    values, starts, ends = values[order], starts[order], (starts + lengths)[order]
    numbers, first = np.unique(values, return_index=True)
    if not len(numbers):
        return numbers, []
    rles = []
    for begin, end in zip(first, [*first[1:], len(values)], strict=True):
        # Background and cell in turn, from pixel 0 to the last; no empty run at the end.
        borders = np.stack([starts[begin:end], ends[begin:end]], axis=1).ravel()
        counts = np.diff(borders, prepend=0).tolist()
        if borders[-1] < flat.size:
            counts.append(flat.size - int(borders[-1]))
        runs = {"size": [height, width], "counts": counts}
        rles.append(rle_tools.frPyObjects(runs, height, width))
    # Not by pycocotools, whose area() fails above 255 masks with numpy 2.
    areas = np.add.reduceat(ends - starts, first).tolist()
    boxes = rle_tools.toBbox(rles).reshape(-1, 4).tolist()
    return numbers, [
        {
            "segmentation": {"size": [height, width], "counts": rle["counts"].decode()},
            "area": area,
            "bbox": [int(value) for value in box],
        }
        for rle, area, box in zip(rles, areas, boxes, strict=True)
    ]


def check_label_map(ids: NDArray[Any], path: str) -> NDArray[Any]:
    """Bring a decoded label image to a map of whole numbers (H, W).

    Args:
        ids: (H, W, C) as the file has it. Floats are taken where all of them are whole numbers.
        path: Of the file, for messages.

    Raises:
        ValueError: Naming the file, if it has several channels, negative values, or fractions.
    """
    if ids.shape[2] != 1:
        raise ValueError(
            f"label map '{path}' has {ids.shape[2]} channels: expected one, whose values are the "
            "numbers of the cells (a colour picture of labels cannot be read)."
        )
    ids = ids[..., 0]
    whole = ids.dtype.kind in "uib"
    if not whole and not (np.isfinite(ids).all() and (ids == np.rint(ids)).all()):
        raise ValueError(
            f"label map '{path}' is {ids.dtype} with values that are no whole numbers: expected "
            "the numbers of the cells, 0 for background."
        )
    if not whole:
        ids = ids.astype(np.int64)
    if ids.size and ids.min() < 0:
        raise ValueError(
            f"label map '{path}' holds {int(ids.min())}: expected 0 for background and positive "
            "numbers of cells."
        )
    return ids
