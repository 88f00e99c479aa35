"""Boundary IoU, Hausdorff distance and average surface distance of mmseg and mmdet samples."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attnseg.evaluation.base import ImageEntry, PerImageMetric, image_key, stack_statistics
from attnseg.evaluation.class_maps import ClassMaps
from attnseg.evaluation.functional.class_boundaries import BoundaryStatistics, boundary_statistics
from attnseg.registry import METRICS


@METRICS.register_module()
class BoundaryMetric(PerImageMetric):
    """How well the outlines of classes agree: mBoundaryIoU, and mHD, mHD95, mASD in pixels.

    Boundary IoU (Cheng et al., CVPR 2021) compares the strips of each mask within d pixels of its
    contour; it is pooled over the data set like IoU. The distances are symmetric and between
    contours: the greatest (HD), the greater of the two directions' 95th percentiles (HD95) and the
    mean over both contours (ASD), averaged over the images that have the class. All of them are
    then averaged over classes. What lies outside the image is background: a mask that touches the
    image border has a contour there, in prediction and truth alike.

    Where a class is in one of the two maps only, its Boundary IoU in that image is 0 and its
    distances are the image's diagonal; where it is in neither, the image does not count for it.
    Unlabelled pixels belong to no mask of either map; void predictions to none.

    Args:
        fraction: d as a fraction of the image's diagonal; at least one pixel is taken.
        ignore_index: Value of unlabelled pixels in the truth.
        ann_file: Panoptic json; needs ``seg_prefix``. Without it the truth is ``gt_sem_seg``.
        seg_prefix: Folder of its PNG files.
        classwise: Also report ``BoundaryIoU/<class>``, ``HD/<class>``, and so on.
        prefix: Put before the names of the metrics.
        collect_device: 'cpu' or 'gpu': how the processes exchange their entries.
        collect_dir: Folder for exchange through files.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If an argument is not as described; later, if ``ignore_index`` is a class, if
            sizes differ, or if labels are outside the classes.
    """

    def __init__(
        self,
        fraction: float = 0.02,
        ignore_index: int = 255,
        prefix: str | None = "boundary",
        classwise: bool = False,
        ann_file: str | None = None,
        seg_prefix: str | None = None,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must be in (0, 1), not {fraction}; 0.02 is usual.")
        self.maps = ClassMaps("BoundaryMetric", ignore_index, ann_file, seg_prefix)
        self.fraction = float(fraction)
        self.classwise = classwise
        self.settings = {
            "metric": "boundaries",
            "fraction": self.fraction,
            "ignore_index": ignore_index,
            "truth": self.maps.source,
        }

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Reduce each image to two areas and three distances per class."""
        self.maps.set_classes(self.class_names, self.dataset_meta)
        for sample in data_samples:
            stats = boundary_statistics(
                *self.maps.read(sample),
                self.maps.num_classes,
                self.maps.ignore_index,
                self.fraction,
            )
            self.results.append(ImageEntry(image_key(sample), stats))

    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Stack areas and distances: five arrays (n, C)."""
        return stack_statistics(BoundaryStatistics, entries, len(self.class_names))

    def report(self, values: Mapping[str, float]) -> None:
        """Write the values to the log; warn where no class occurs."""
        super().report(values)
        if np.isnan(values["mBoundaryIoU"]):
            self.log("no class occurs in truth or prediction: all is NaN.", logging.WARNING)
