"""Predicted and true class maps of data samples, for every metric that compares them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attnseg.evaluation.base import describe_image
from attnseg.evaluation.panoptic_truth import PanopticTruth
from attnseg.evaluation.predictions import class_map, find_void, split_panoptic


class ClassMaps:
    """Reads the two maps of a sample and checks them.

    The prediction is ``pred_sem_seg``, or the labels of ``pred_panoptic_seg`` where a model gives
    only that. The truth is the sample's ``gt_sem_seg``, or comes from panoptic PNGs where
    ``ann_file`` is given.

    Args:
        metric: Name of the metric that reads, for errors.
        ignore_index: Value of unlabelled pixels in the truth.
        ann_file: Panoptic json; needs ``seg_prefix``.
        seg_prefix: Folder of its PNG files.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If only one of ``ann_file`` and ``seg_prefix`` is given.
    """

    def __init__(
        self, metric: str, ignore_index: int, ann_file: str | None, seg_prefix: str | None
    ) -> None:
        if (ann_file is None) != (seg_prefix is None):
            raise ValueError(f"{metric} needs 'ann_file' and 'seg_prefix' together.")
        self.metric = metric
        self.ignore_index = ignore_index
        self.truth = PanopticTruth(ann_file, seg_prefix) if ann_file and seg_prefix else None
        self.num_classes = 0

    @property
    def source(self) -> str:
        """Where the truth comes from, for the settings of a metric."""
        return "panoptic" if self.truth else "gt_sem_seg"

    def set_classes(self, classes: tuple[str, ...], meta: Mapping[str, Any] | None) -> None:
        """Take the classes of the data set; needed before `read`.

        Raises:
            ValueError: If ``ignore_index`` is a class, or the json lacks one.
        """
        if 0 <= self.ignore_index < len(classes):
            raise ValueError(
                f"ignore_index={self.ignore_index} is a class label: there are {len(classes)} "
                "classes. Mark void in the label maps by another value, for instance 65535."
            )
        self.num_classes = len(classes)
        if self.truth:
            self.truth.set_classes(classes, meta)

    def read(self, sample: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return the prediction and the truth, integers (H, W).

        Predicted values that are no class mean void.

        Raises:
            KeyError: If the sample lacks one of them.
            ValueError: If the sizes differ, a value is neither a class nor void, or the json's
                image of this id has another file name.
        """
        pred = self._prediction(sample)
        if self.truth:
            img_id, path = sample.get("img_id"), sample.get("img_path")
            return pred, self.truth.semantic_map(img_id, pred.shape, self.ignore_index, path)
        label = class_map(sample, "gt_sem_seg")
        if label is None:
            raise KeyError(
                f"{describe_image(sample)} has no 'gt_sem_seg': load annotations in the test "
                "pipeline, or give the metric 'ann_file' and 'seg_prefix' of a panoptic json."
            )
        if pred.shape != label.shape:
            raise ValueError(
                f"{describe_image(sample)}: Prediction {pred.shape} and label {label.shape} differ "
                "in size. Predictions must be at the original size ('ori_shape')."
            )
        wrong = label[(label != self.ignore_index) & ((label < 0) | (label >= self.num_classes))]
        if wrong.size:
            raise ValueError(
                f"{describe_image(sample)}: Labels go from {label.min()} to {label.max()}, but "
                f"there are {self.num_classes} classes (0..{self.num_classes - 1}) and the void "
                f"value is {self.ignore_index}."
            )
        return pred, label

    def _prediction(self, sample: Mapping[str, Any]) -> np.ndarray:
        pred = class_map(sample, "pred_sem_seg")
        if pred is not None:
            find_void(pred, self.num_classes, sample, "pred_sem_seg", self.ignore_index)
            return pred
        values = class_map(sample, "pred_panoptic_seg")
        if values is None:
            raise KeyError(
                f"{describe_image(sample)} has neither 'pred_sem_seg' nor 'pred_panoptic_seg': "
                f"{self.metric} needs a model that predicts one."
            )
        return split_panoptic(values, self.num_classes, sample, self.ignore_index)[0]
