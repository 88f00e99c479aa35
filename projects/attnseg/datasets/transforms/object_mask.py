"""One object of one image: its true mask, a coarse mask, and flips of both with the image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from ...coco_objects import usable_polygons
from ...errors import InputError
from ...registry import TRANSFORMS
from ...rle import decode_mask
from ..coarse_masks import MODES, mix_mask, object_rng

Mask = NDArray[np.uint8]
FULL_SIZE = ("gt_mask", "coarse_mask", "add", "remove")
"""Masks of a sample at the image's own size, in the order in which they come to be."""


@TRANSFORMS.register_module()
class LoadObjectMask(BaseTransform):
    """Decode the mask of the one object of a sample of ``attnseg.ObjectMaskDataset``.

    Polygons are drawn by pycocotools, run-length codes (also of crowds, also uncompressed) are read
    with checks. Adds ``gt_mask`` (H, W) uint8 of 0 and 1, and names it in ``seg_fields``, so that
    mmseg's crops and flips take it along. Samples without objects (inference) pass unchanged.

    Raises:
        InputError: Naming image and object, if the mask is damaged or has another size than the
            image.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``gt_mask``."""
        if not results.get("instances"):
            return results
        size = results["img"].shape[:2] if "img" in results else _listed_size(results)
        owner = f"object {results.get('ann_id')} of image '{results.get('img_path')}'"
        results["gt_mask"] = decode_segmentation(results["instances"][0]["mask"], size, owner)
        _name(results, "gt_mask")
        return results


@TRANSFORMS.register_module()
class CoarseMask(BaseTransform):
    """Draw ``coarse_mask`` from ``gt_mask``; see `attnseg.datasets.coarse_masks`.

    Samples without a truth, or with a coarse mask already, pass unchanged.

    Args:
        mode: ``erode`` (the published recipe), ``dilate``, ``paintbrush``, ``jitter``, ``mix`` (all
            four alike), or a weight for each mode wanted: ``dict(erode=2, jitter=1)``.
        seed: With it the mask depends on seed, ``img_id`` and ``ann_id`` alone: the same in every
            epoch, worker and run. Without it a new one is drawn each time, from numpy's global
            generator as in mmcv's transforms.
        min_pixels: The mask has so many, unless the object itself has fewer.

    Raises:
        ValueError: If a mode is unknown, or the weights are no positive numbers.
    """

    def __init__(
        self,
        mode: str | Mapping[str, float] = "erode",
        seed: int | None = None,
        min_pixels: int = 50,
    ) -> None:
        if mode == "mix":
            mode = dict.fromkeys(MODES, 1.0)
        weights = {mode: 1.0} if isinstance(mode, str) else dict(mode)
        unknown = [name for name in weights if name not in MODES]
        if unknown or not weights:
            raise ValueError(
                f"CoarseMask(mode={mode!r}): the modes are {', '.join(MODES)}, 'mix' of all four, "
                "or weights such as dict(erode=2, jitter=1)."
            )
        if min(weights.values()) < 0 or not sum(weights.values()) > 0:
            raise ValueError(f"CoarseMask: weights {weights} must be 0 or more, and one above 0.")
        if seed is not None and seed < 0:
            raise ValueError(f"CoarseMask: seed must be 0 or more, or None; got {seed}.")
        self.weights = weights
        self.seed = seed
        self.min_pixels = min_pixels

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``coarse_mask`` (H, W) uint8 of 0 and 1."""
        if "coarse_mask" in results or "gt_mask" not in results:
            return results
        rng = (
            np.random.default_rng(np.random.randint(0, 2**32, size=4, dtype=np.uint32))
            if self.seed is None
            else object_rng(self.seed, results["img_id"], results["ann_id"])
        )
        draw, options = mix_mask, {"weights": self.weights}
        if len(self.weights) == 1:
            # No random number for a choice of one: the same mask by both ways of saying it.
            draw, options = MODES[next(iter(self.weights))], {}
        results["coarse_mask"] = draw(
            results["gt_mask"], rng, min_pixels=self.min_pixels, **options
        )
        _name(results, "coarse_mask")
        return results


@TRANSFORMS.register_module()
class FlipObject(BaseTransform):
    """Flip and turn the image with all its masks; stands in front of ``attnseg.CropToStroke``.

    mmcv's RandomFlip knows only ``gt_seg_map``; mmseg's flips masks too, but does not turn.

    Args:
        horizontal: Probability of a flip left to right.
        vertical: Probability of a flip upside down.
        turn: Probability that rows and columns change places, which with the flips makes all
            turns by 90 degrees. The image's width and height change places too.
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0, turn: float = 0.0) -> None:
        self.probabilities = (horizontal, vertical, turn)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` and the masks alike; sets ``img_shape`` and ``ori_shape``.

        Raises:
            ValueError: If the sample is cropped already: its box would not fit any more.
        """
        if "crop_box" in results:
            raise ValueError("FlipObject stands behind CropToStroke: put it in front of it.")
        horizontal, vertical, turn = np.random.random(3) < self.probabilities
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in (vertical, horizontal))
        for key in ("img", *FULL_SIZE):
            if key not in results:
                continue
            array = results[key][rows, columns]
            results[key] = np.ascontiguousarray(array.swapaxes(0, 1) if turn else array)
        results["img_shape"] = results["ori_shape"] = results["img"].shape[:2]
        return results


def decode_segmentation(segmentation: Any, size: tuple[int, int], owner: str) -> Mask:
    """Decode polygons or a run-length code of COCO.

    Args:
        segmentation: In any form of COCO.
        size: Height and width of the image in pixels.
        owner: Object and image, for messages.

    Returns:
        (H, W) of 0 and 1.

    Raises:
        InputError: With ``owner``, if it is damaged or of another size.
    """
    try:
        if not isinstance(segmentation, list):
            return np.ascontiguousarray(decode_mask(segmentation, size)).view(np.uint8)
        polygons = usable_polygons(segmentation, owner)
    except ValueError as error:
        text = str(error)
        raise InputError(
            text
            if text.startswith(owner)
            else f"{owner}: {text}. Correct it, or remove the annotation."
        ) from error
    if not polygons:
        return np.zeros(size, np.uint8)
    decoded = rle_tools.decode(rle_tools.merge(rle_tools.frPyObjects(polygons, *size)))
    return np.ascontiguousarray(decoded)


def _listed_size(results: Mapping[str, Any]) -> tuple[int, int]:
    return results["height"], results["width"]


def _name(results: dict[str, Any], key: str) -> None:
    fields = results.setdefault("seg_fields", [])
    if key not in fields:
        fields.append(key)
