"""Dataset-level IoU, accuracy and Dice of mmseg and mmdet data samples."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.structures import INSTANCE_OFFSET

from attnseg.evaluation.base import (
    ImageEntry,
    PerImageMetric,
    describe_image,
    image_key,
    stack_statistics,
)
from attnseg.evaluation.functional.area import AreaStatistics, area_statistics
from attnseg.evaluation.panoptic_truth import PanopticTruth
from attnseg.evaluation.predictions import check_labels, class_map, is_void
from attnseg.registry import METRICS


@METRICS.register_module()
class SemanticMetric(PerImageMetric):
    """mIoU, mAcc, mDice (means over classes) and aAcc (pixels) of a whole data set, in [0, 1].

    A class that occurs in neither prediction nor truth of any image is NaN and left out of the
    means; accuracy also leaves out classes that are never labelled. Pixels labelled
    ``ignore_index`` count nowhere; void predictions on labelled pixels are misses.

    The prediction is ``pred_sem_seg``, or the labels of ``pred_panoptic_seg`` where a model gives
    only that. The truth is the sample's ``gt_sem_seg``, or comes from panoptic PNGs where
    ``ann_file`` is given (mmdet's test pipelines load no semantic truth).

    Args:
        ignore_index: Value of unlabelled pixels in the truth.
        ann_file: Panoptic json; needs ``seg_prefix``.
        seg_prefix: Folder of its PNG files.
        classwise: Also report ``IoU/<class>``, ``Acc/<class>`` and ``Dice/<class>``.
        prefix: Put before the names of the metrics.
        collect_device: 'cpu' or 'gpu': how the processes exchange their entries.
        collect_dir: Folder for exchange through files.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If only one of ``ann_file`` and ``seg_prefix`` is given; later, if
            ``ignore_index`` is a class, if sizes differ, or if labels are outside the classes.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        prefix: str | None = "semantic",
        classwise: bool = False,
        ann_file: str | None = None,
        seg_prefix: str | None = None,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if (ann_file is None) != (seg_prefix is None):
            raise ValueError("SemanticMetric needs 'ann_file' and 'seg_prefix' together.")
        self.truth = PanopticTruth(ann_file, seg_prefix) if ann_file and seg_prefix else None
        self.ignore_index = ignore_index
        self.classwise = classwise
        self.settings = {
            "metric": "dataset-level areas",
            "ignore_index": ignore_index,
            "truth": "panoptic" if self.truth else "gt_sem_seg",
        }

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Reduce each image to four areas per class."""
        classes = self.class_names
        num_classes = len(classes)
        if 0 <= self.ignore_index < num_classes:
            raise ValueError(
                f"ignore_index={self.ignore_index} is a class label: there are {num_classes} "
                "classes. Mark void in the label maps by another value, for instance 65535."
            )
        if self.truth:
            self.truth.set_classes(classes, self.dataset_meta)
        for sample in data_samples:
            pred = self._prediction(sample, num_classes)
            label = self._label(sample, pred.shape)
            try:
                stats = area_statistics(pred, label, num_classes, self.ignore_index)
            except ValueError as error:
                raise ValueError(f"{describe_image(sample)}: {error}") from error
            self.results.append(ImageEntry(image_key(sample), stats))

    def _prediction(self, sample: Mapping[str, Any], num_classes: int) -> np.ndarray:
        pred, source = class_map(sample, "pred_sem_seg"), "pred_sem_seg"
        if pred is None:
            pred, source = class_map(sample, "pred_panoptic_seg"), "pred_panoptic_seg"
            if pred is None:
                raise KeyError(
                    f"{describe_image(sample)} has neither 'pred_sem_seg' nor "
                    "'pred_panoptic_seg': SemanticMetric needs a model that predicts one."
                )
            pred = pred % INSTANCE_OFFSET
        own_void = sample[source].get("ignore_index")
        void = is_void(pred, num_classes, self.ignore_index, own_void)
        check_labels(pred, void, num_classes, sample)
        return pred

    def _label(self, sample: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
        if self.truth:
            return self.truth.semantic_map(sample.get("img_id"), size, self.ignore_index)
        label = class_map(sample, "gt_sem_seg")
        if label is None:
            raise KeyError(
                f"{describe_image(sample)} has no 'gt_sem_seg': load annotations in the test "
                "pipeline, or give the metric 'ann_file' and 'seg_prefix' of a panoptic json."
            )
        return label

    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Stack the areas: four arrays (n, C)."""
        return stack_statistics(AreaStatistics, entries, len(self.class_names))

    def report(self, values: Mapping[str, float]) -> None:
        """Write the values to the log; warn where nothing is labelled."""
        super().report(values)
        if np.isnan(values["mIoU"]):
            self.log("there is no labelled pixel: mIoU is NaN.", logging.WARNING)
