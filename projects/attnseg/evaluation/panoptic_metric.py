"""Panoptic quality of mmdet data samples against a COCO panoptic json."""

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
from attnseg.evaluation.functional.panoptic_quality import (
    PanopticStatistics,
    Segment,
    pq_statistics,
)
from attnseg.evaluation.panoptic_truth import PanopticTruth
from attnseg.evaluation.predictions import class_map, split_panoptic
from attnseg.registry import METRICS


@METRICS.register_module()
class PanopticMetric(PerImageMetric):
    """PQ, SQ and RQ of all classes, of things (``_th``) and of stuff (``_st``), in [0, 1].

    Follows the COCO panoptic task: matches at IoU > 0.5, void and crowd as there, means over the
    classes that occur in truth or prediction (NaN where none does). Needs ``pred_panoptic_seg``
    with mmdet's values, label + 1000 * instance; the number of classes, 255 and the sample's own
    ``ignore_index`` mean void.

    Args:
        ann_file: Panoptic json.
        seg_prefix: Folder of its PNG files.
        classwise: Also report ``PQ/<class>``, ``SQ/<class>`` and ``RQ/<class>``.
        prefix: Put before the names of the metrics.
        collect_device: 'cpu' or 'gpu': how the processes exchange their entries.
        collect_dir: Folder for exchange through files.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If the json is not a panoptic one; later, if a class is missing in it, if an
            image has another file name there, if a prediction is not of the size of its PNG, or
            if it has labels that are no class.
    """

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str,
        prefix: str | None = "panoptic",
        classwise: bool = False,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.truth = PanopticTruth(ann_file, seg_prefix)
        self.classwise = classwise
        self.settings = {"metric": "panoptic quality", "convention": "COCO", "iou_threshold": 0.5}

    def _match_classes(self) -> int:
        classes = self.class_names
        if len(classes) >= INSTANCE_OFFSET:
            raise ValueError(
                f"{len(classes)} classes do not fit into mmdet's panoptic values, which hold "
                f"labels below {INSTANCE_OFFSET - 1}."
            )
        self.truth.set_classes(classes, self.dataset_meta)
        return len(classes)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Reduce each image to the sums of its IoUs and its counts per class."""
        num_classes = self._match_classes()
        for sample in data_samples:
            pred = class_map(sample, "pred_panoptic_seg")
            if pred is None:
                raise KeyError(
                    f"{describe_image(sample)} has no 'pred_panoptic_seg': PanopticMetric needs a "
                    "model that predicts panoptic maps."
                )
            values = np.unique(pred)
            labels, void = split_panoptic(values, num_classes, sample)
            segments = {
                int(value): Segment(int(label))
                for value, label in zip(values[~void], labels[~void], strict=True)
            }
            gt, gt_segments = self.truth.segments(
                sample.get("img_id"), pred.shape, sample.get("img_path")
            )
            stats = pq_statistics(pred, segments, gt, gt_segments, num_classes)
            self.results.append(ImageEntry(image_key(sample), stats))

    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Stack the matches: four arrays (n, C), and which classes are things (C,)."""
        num_classes = self._match_classes()
        arrays = stack_statistics(PanopticStatistics, entries, num_classes)
        return arrays | {"is_thing": np.array(self.truth.is_thing, dtype=bool)}

    def report(self, values: Mapping[str, float]) -> None:
        """Write the values to the log; warn where no class occurs."""
        super().report(values)
        if np.isnan(values["PQ"]):
            self.log("no class occurs in truth or prediction: PQ is NaN.", logging.WARNING)
