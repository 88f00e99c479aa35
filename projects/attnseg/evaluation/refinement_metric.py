"""Refined masks against the truth, always beside the coarse masks that they were made from."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from attnseg.errors import InputError
from attnseg.evaluation.base import (
    ImageEntry,
    PerImageMetric,
    describe_image,
    image_key,
    to_numpy,
)
from attnseg.evaluation.functional.refinement import MaskScores, mask_scores
from attnseg.evaluation.scores.refinement import NAMES
from attnseg.registry import METRICS


class _ObjectScores(NamedTuple):
    pred: MaskScores
    coarse: MaskScores


@METRICS.register_module()
class RefinementMetric(PerImageMetric):
    """Means over objects: IoU, BoundaryIoU, ContourIoU, Hausdorff, HD95 and Acc.

    Each stands beside the same value of the coarse mask (``coarse_IoU``) and by how much the
    prediction is better (``gain_IoU``; positive is better for distances too). All is measured at
    the image's own size. BoundaryIoU is that of Cheng et al. (CVPR 2021); ContourIoU and Hausdorff
    are what the published code of NeuralSegmentello calls Boundary IoU and Hausdorff distance, see
    `attnseg.evaluation.functional.refinement`. HD95 is between contours. Distances are in pixels.

    Prediction and coarse mask are compared on the same objects, which the truth alone decides.
    Where it has no pixel, as with a polygon outside the image, the object counts for nothing; a
    warning counts them. Where it fills the image it has no contour, and the object counts for all
    but ContourIoU. Of an empty prediction or coarse mask the overlaps are 0 and the distances the
    image's diagonal. Intervals come from resampling images with all their objects, since objects
    of one image are not independent.

    Other objects or coarse masks make another task: the settings hold their number and a digest
    of what the coarse masks score, so that results on different ones are not ranked together.

    Samples need ``pred_mask``, ``coarse_mask`` and ``gt_mask`` (H, W), and ``ann_id`` where an
    image has several objects; ``PackRefinement(keep_masks=True)`` keeps the latter two.

    Args:
        fraction: Width of the boundary regions of BoundaryIoU, of the image's diagonal.
        prefix: Put before the names of the metrics.
        collect_device: 'cpu' or 'gpu': how the processes exchange their entries.
        collect_dir: Folder for exchange through files.

    Raises:
        ValueError: If ``fraction`` is out of range.
        InputError: Later, naming image and object, if a mask lacks or has another size.
    """

    def __init__(
        self,
        fraction: float = 0.02,
        prefix: str | None = "refine",
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must be in (0, 1), not {fraction}; 0.02 is usual.")
        self.fraction = float(fraction)
        self.settings = {"metric": "masks of objects", "fraction": self.fraction}

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Reduce each object to six values of its prediction and of its coarse mask."""
        for sample in data_samples:
            pred, coarse, truth = (_mask(sample, key) for key in _MASKS)
            stats = self._scores(pred, coarse, truth) if truth.any() else None
            self.results.append(ImageEntry((image_key(sample), _object_key(sample)), stats))

    def _scores(self, pred: np.ndarray, coarse: np.ndarray, truth: np.ndarray) -> _ObjectScores:
        scores = (mask_scores(mask, truth, self.fraction) for mask in (pred, coarse))
        if truth.all():
            # Else it would count or not by whether the mask beside it fills the image too.
            scores = (found._replace(contour_iou=float("nan")) for found in scores)
        return _ObjectScores(*scores)

    def summarize(self, entries: Sequence[ImageEntry]) -> dict[str, float]:
        """Compute the metrics from unique, sorted objects; sets `table`, whose rows are images."""
        total, entries = len(entries), [entry for entry in entries if entry.stats is not None]
        if len(entries) < total:
            self.log(
                f"{total - len(entries)} of {total} objects are left out: their true mask has no "
                "pixel in the image.",
                logging.WARNING,
            )
        # Ratios of counts, which are the same on every machine.
        inputs = [(entry.key, *entry.stats.coarse[:3]) for entry in entries]
        digest = hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]
        self.settings = {**self.settings, "objects": len(entries), "coarse": digest}
        images = [
            ImageEntry(key, [entry.stats for entry in group])
            for key, group in groupby(entries, key=lambda entry: entry.key[0])
        ]
        return super().summarize(images)

    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Sum over the objects of each image: see `attnseg.evaluation.scores.refinement`."""
        arrays: dict[str, np.ndarray] = {
            "objects": np.array([len(entry.stats) for entry in entries], dtype=np.int64)
        }
        for name in _ObjectScores._fields:
            sums = np.zeros((len(entries), len(NAMES)))
            defined = np.zeros((len(entries), len(NAMES)), dtype=np.int64)
            for row, entry in enumerate(entries):
                values = np.array([getattr(stats, name) for stats in entry.stats])
                sums[row] = np.nansum(values, axis=0)
                defined[row] = (~np.isnan(values)).sum(axis=0)
            arrays |= {name: sums, f"{name}_defined": defined}
        return arrays

    def report(self, values: Mapping[str, float]) -> None:
        """Write prediction and coarse mask side by side to the log."""
        images = len(self.table.images) if self.table else 0
        main = ", ".join(
            f"{name} {values[name]:.4f} (coarse {values[f'coarse_{name}']:.4f})" for name in NAMES
        )
        self.log(f"{self.settings} on {images} images: {main}")
        if np.isnan(values["IoU"]):
            self.log("there is no object to compare: IoU is NaN.", logging.WARNING)


_MASKS = {
    "pred_mask": "the model did not set it: attnseg.MaskRefinementModel does",
    "coarse_mask": "keep it for tests: PackRefinement(keep_masks=True)",
    "gt_mask": "keep it for tests: LoadObjectMask, and PackRefinement(keep_masks=True)",
}


def _mask(sample: Mapping[str, Any], key: str) -> np.ndarray:
    owner = f"object {sample.get('ann_id')} of {describe_image(sample)}"
    if sample.get(key) is None:
        raise InputError(f"RefinementMetric: {owner} has no '{key}'; {_MASKS[key]}.")
    mask = to_numpy(sample[key]).astype(bool)
    size = tuple(sample["ori_shape"][:2])
    if mask.shape != size:
        raise InputError(
            f"RefinementMetric: '{key}' of {owner} has shape {mask.shape}, the image is {size} "
            "(height, width): masks are compared at the image's own size."
        )
    return mask


def _object_key(sample: Mapping[str, Any]) -> tuple[int, int | str]:
    number = sample.get("ann_id")
    if isinstance(number, str):
        return (1, number)
    return (0, -1 if number is None else int(number))
