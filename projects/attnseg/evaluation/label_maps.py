"""Instances <-> one label map: which mask lies on top where they overlap."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attnseg.evaluation.base import to_numpy
from attnseg.evaluation.masks import Rle, encode_masks


def paint_rles(rles: Sequence[Rle], size: tuple[int, int]) -> np.ndarray:
    """Paint masks one over the other: 1 for the first, which lies lowest, and so on; 0 elsewhere.

    The time goes with the pixels of the masks, not with those of the image for each mask.

    Args:
        rles: Compressed RLEs of this size.
        size: Height and width.

    Returns:
        Numbers (H, W), int32.
    """
    canvas = np.zeros(size[0] * size[1], dtype=np.int32)
    for number, rle in enumerate(rles, 1):
        runs = run_lengths(rle["counts"])
        ends = np.cumsum(runs)
        lengths, starts = runs[1::2], ends[0::2][: len(runs) // 2]
        offsets = np.cumsum(lengths) - lengths
        pixels = np.repeat(starts - offsets, lengths) + np.arange(lengths.sum())
        canvas[pixels] = number
    # RLEs go down the columns.
    return np.ascontiguousarray(canvas.reshape(size[1], size[0]).T)


def paint_masks(masks: Any, order: np.ndarray, size: tuple[int, int], owner: str) -> np.ndarray:
    """Paint masks of any form: the label map has 1 + the position of the mask in ``masks``.

    Args:
        masks: As `attnseg.evaluation.masks.encode_masks` takes them.
        order: Positions of the masks to paint; the first lies lowest.
        size: Height and width of the image.
        owner: Named in errors.

    Raises:
        ValueError: If a mask has another size, or an array is not (n, H, W).
    """
    if hasattr(masks, "to_ndarray"):
        masks = masks.to_ndarray()
    if isinstance(masks, Sequence):
        rles = encode_masks([masks[i] for i in order], size, owner)
        number = np.concatenate([[0], order + 1]).astype(np.int32)
        return number[paint_rles(rles, size)]
    masks = to_numpy(masks)
    if len(masks) and masks.shape[1:] != tuple(size):
        raise ValueError(
            f"Masks of {owner} have shape {masks.shape}; expected (n, H, W) with the image's "
            f"(H, W) = {tuple(size)}. Masks must be at the original size ('ori_shape')."
        )
    canvas = np.zeros(size, dtype=np.int32)
    for position in order:
        np.copyto(canvas, position + 1, where=masks[position].astype(bool, copy=False))
    return canvas


def paint_objects(
    objects: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Paint annotations; the smaller lies on top, so that no object hides within a larger one.

    Args:
        objects: COCO annotations with RLEs; crowds are not painted.
        size: Height and width of the image.

    Returns:
        A map (H, W) with 1 + the position of the object, and the pixels (H, W), boolean, of crowd
        regions outside the objects.
    """
    singles = [i for i, o in enumerate(objects) if not o["iscrowd"]]
    rles = [o["segmentation"] for o in objects]
    areas = [run_lengths(rles[i]["counts"])[1::2].sum() for i in singles]
    order = np.array(singles, dtype=np.int64)[np.argsort(np.negative(areas), kind="stable")]
    number = np.concatenate([[0], order + 1]).astype(np.int32)
    canvas = number[paint_rles([rles[i] for i in order], size)]
    crowds = paint_rles([rle for rle, o in zip(rles, objects, strict=True) if o["iscrowd"]], size)
    return canvas, (crowds > 0) & (canvas == 0)


def run_lengths(counts: str | bytes) -> np.ndarray:
    """Decode the compressed counts of a COCO RLE: lengths of runs of 0, 1, 0, 1, ... pixels.

    The format is that of the COCO API (Lin et al. 2014, ``rleFrString``): numbers in groups of five
    bits, least significant first, bit six says that another group follows; from the fourth number
    on, the difference to the number two before is stored.
    """
    codes = np.frombuffer(counts.encode() if isinstance(counts, str) else counts, dtype=np.uint8)
    codes = codes.astype(np.int64) - 48
    last = (codes & 32) == 0
    first = np.flatnonzero(np.concatenate([[True], last[:-1]])) if len(codes) else np.zeros(0, int)
    length = np.diff(np.append(first, len(codes)))
    place = np.arange(len(codes)) - np.repeat(first, length)
    values = np.add.reduceat((codes & 31) << (5 * place), first) if len(codes) else codes
    # The sign is in bit five of the last group.
    negative = (codes[last] & 16) != 0
    values = np.where(negative, values - (np.int64(1) << (5 * length)), values)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
