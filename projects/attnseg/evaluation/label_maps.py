"""Instances <-> one label map: which mask lies on top where they overlap."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from attnseg.evaluation.base import to_numpy
from attnseg.evaluation.masks import Rle, encode_masks
from attnseg.rle import check_counts, mask_area


def painting_order(
    scores: np.ndarray, labels: np.ndarray, things: Iterable[int], min_score: float
) -> np.ndarray:
    """Positions of the instances that are cells, from the lowest, which is painted first.

    The higher score lies on top; of equal scores, the first instance.

    Args:
        scores: (n,).
        labels: (n,).
        things: Labels of the classes whose instances are cells.
        min_score: Instances with a lower score are left out.
    """
    order = np.argsort(-scores, kind="stable")[::-1]
    # In the type of the models' scores: 0.7 is not below 0.7, however a score was stored.
    sure = scores[order].astype(np.float32) >= np.float32(min_score)
    return order[sure & np.isin(labels[order], list(things))]


def paint_rles(
    rles: Sequence[Rle], size: tuple[int, int], names: Sequence[str] | None = None
) -> np.ndarray:
    """Paint masks one over the other: 1 for the first, which lies lowest, and so on; 0 elsewhere.

    The time goes with the pixels of the masks, not with those of the image for each mask.

    Args:
        rles: Compressed RLEs of this size.
        size: Height and width.
        names: What to call each mask in errors.

    Returns:
        Numbers (H, W), int32.

    Raises:
        ValueError: If an RLE is damaged.
    """
    canvas = np.zeros(size[0] * size[1], dtype=np.int32)
    for number, rle in enumerate(rles, 1):
        runs = _runs(rle, size, names[number - 1] if names else f"mask {number - 1}")
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
        ValueError: If a mask has another size or is damaged, or an array is not (n, H, W).
    """
    if hasattr(masks, "to_ndarray"):
        masks = masks.to_ndarray()
    if isinstance(masks, Sequence):
        rles = encode_masks([masks[i] for i in order], size, owner)
        number = np.concatenate([[0], order + 1]).astype(np.int32)
        return number[paint_rles(rles, size, [f"Mask {i} of {owner}" for i in order])]
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

    Raises:
        ValueError: If an RLE is damaged; names the annotation.
    """
    names = [f"annotation {o.get('id', f'at position {i}')}" for i, o in enumerate(objects)]
    rles = [o["segmentation"] for o in objects]
    crowds = [i for i, o in enumerate(objects) if o["iscrowd"]]
    singles = [i for i, o in enumerate(objects) if not o["iscrowd"]]
    areas = [mask_area(_runs(rles[i], size, names[i])) for i in singles]
    order = np.array(singles, dtype=np.int64)[np.argsort(np.negative(areas), kind="stable")]

    def paint(chosen: Sequence[int]) -> np.ndarray:
        return paint_rles([rles[i] for i in chosen], size, [names[i] for i in chosen])

    canvas = np.concatenate([[0], order + 1]).astype(np.int32)[paint(order.tolist())]
    return canvas, (paint(crowds) > 0) & (canvas == 0)


def _runs(rle: Rle, size: tuple[int, int], name: str) -> np.ndarray:
    try:
        return check_counts(rle["counts"], size[0] * size[1])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
