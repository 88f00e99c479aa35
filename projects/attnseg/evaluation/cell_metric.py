"""F1, AP and aggregated Jaccard index of cells, from mmdet data samples."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from attnseg.evaluation.base import (
    ImageEntry,
    PerImageMetric,
    describe_image,
    image_key,
    to_numpy,
)
from attnseg.evaluation.classes import thing_flags
from attnseg.evaluation.functional.cells import (
    CellOverlaps,
    aggregated_jaccard,
    cell_overlaps,
    compact,
    count_matches,
    remove_border_cells,
    select_cells,
)
from attnseg.evaluation.instance_truth import InstanceTruth, sample_objects
from attnseg.evaluation.label_maps import paint_masks, paint_objects, painting_order
from attnseg.evaluation.predictions import check_labels, class_map, split_panoptic
from attnseg.evaluation.scores.cells import threshold_name
from attnseg.registry import METRICS

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class CellStatistics(NamedTuple):
    """Counts of one image for G groups of cells: all together, then each class.

    Attributes:
        tp: (G, T) matches at each IoU threshold.
        truth: (G,) true cells.
        pred: (G,) predicted cells.
        aji_intersection: (G,) pixels.
        aji_union: (G,) pixels.
    """

    tp: np.ndarray
    truth: np.ndarray
    pred: np.ndarray
    aji_intersection: np.ndarray
    aji_union: np.ndarray


@METRICS.register_module()
class CellMetric(PerImageMetric):
    """F1, AP = TP / (TP + FP + FN), precision, recall at IoU thresholds, and AJI, all in [0, 1].

    Cells are compared as label maps, the way of StarDist, Cellpose and the NeurIPS-CellSeg
    challenge: where predicted masks overlap, the higher score is on top; where true ones do, the
    smaller. Matches are one to one (Hungarian) and do not ask for the class, but ``F1/<class>``,
    ``AP/<class>`` and ``AJI/<class>`` compare the cells of one class.

    ``F1@0.50`` is the mean of the images' values, ``F1_pooled@0.50`` comes from the counts of all
    images; ``F1`` is the mean over the thresholds; so for ``AP``, ``Precision``, ``Recall`` and,
    with no threshold, ``AJI``. An image without true and predicted cells has no value and is left
    out of means. An image with one of them only has 0 (the challenge's script has 0/0 where nothing
    is predicted). Predicted cells that lie by more than half on crowd regions do not count.

    The prediction is ``pred_instances``, or the things of ``pred_panoptic_seg`` where a model gives
    only that.

    Args:
        ann_file: COCO instances json; matched with the classes of the data set by name. Without
            it the truth is read from the samples (``gt_instances`` or ``instances``).
        score_thr: Predicted instances with a lower score are left out.
        iou_thresholds: Ascending, in (0, 1].
        remove_boundary: Leave out true and predicted cells that touch the frame of the image, as
            NeurIPS-CellSeg does.
        boundary_width: Thickness of that frame in pixels.
        classwise: Also report values of classes.
        prefix: Put before the names of the metrics.
        collect_device: 'cpu' or 'gpu': how the processes exchange their entries.
        collect_dir: Folder for exchange through files.

    Raises:
        FileNotFoundError: If ``ann_file`` does not exist.
        ValueError: If an argument or the json is not as described; later, if a thing class is
            missing in the json, if an image has another file name there, if masks are not of the
            size of their image, or if there are labels that are no class.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        score_thr: float = 0.5,
        iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
        remove_boundary: bool = False,
        boundary_width: int = 2,
        classwise: bool = False,
        prefix: str | None = "cell",
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        thresholds = [float(t) for t in iou_thresholds]
        names = {threshold_name(t) for t in thresholds}
        if not thresholds or sorted(thresholds) != thresholds or len(names) != len(thresholds):
            raise ValueError(f"iou_thresholds must ascend by 0.001 or more, not {thresholds}.")
        if not 0 < thresholds[0] <= thresholds[-1] <= 1:
            raise ValueError(f"iou_thresholds must be in (0, 1], not {thresholds}.")
        if boundary_width < 1:
            raise ValueError(f"boundary_width must be at least 1 pixel, not {boundary_width}.")
        self.truth = None if ann_file is None else InstanceTruth(ann_file, "segm")
        self.classwise = classwise
        self.score_thr = score_thr
        self.frame = boundary_width if remove_boundary else 0
        self.settings = {
            "metric": "cells",
            "thresholds": thresholds,
            "score_thr": float(score_thr),
            "removed_boundary": self.frame,
            "truth": "annotations" if self.truth else "samples",
        }

    def _things(self) -> list[int]:
        """Labels of the classes whose instances are cells."""
        flags = thing_flags(self.class_names, self.dataset_meta)
        things = [label for label, thing in enumerate(flags) if thing]
        if not things:
            raise ValueError("CellMetric: no class of the data set is a thing ('thing_classes').")
        return things

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Reduce each image to counts and areas."""
        things = self._things()
        for sample in data_samples:
            objects, size = self._objects(sample, things)
            truth, crowd = paint_objects(objects, size)
            pred, labels = self._prediction(sample, size, things)
            if self.frame:
                truth = remove_border_cells(truth, self.frame)
                pred = remove_border_cells(pred, self.frame)
            overlaps = cell_overlaps(truth, pred, crowd)
            truth_label = np.array([o["category_id"] for o in objects], dtype=np.int64)
            stats = self._statistics(
                overlaps, truth_label[overlaps.truth_ids - 1], labels[overlaps.pred_ids - 1], things
            )
            self.results.append(ImageEntry(image_key(sample), stats))

    def _objects(
        self, sample: Mapping[str, Any], things: Sequence[int]
    ) -> tuple[list[dict[str, Any]], tuple[int, int]]:
        if self.truth:
            labels = self.truth.labels(self.class_names, self.dataset_meta)
            return self.truth.objects(sample, labels)
        size = (int(sample["ori_shape"][0]), int(sample["ori_shape"][1]))
        objects = sample_objects(sample, size, "segm", describe_image(sample))
        return [o for o in objects if o["category_id"] in things], size

    def _prediction(
        self, sample: Mapping[str, Any], size: tuple[int, int], things: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Label map of the predicted cells, 1 to P, and their P labels."""
        pred = sample.get("pred_instances")
        owner = describe_image(sample)
        num_classes = len(self.class_names)
        if pred is None:
            values = class_map(sample, "pred_panoptic_seg")
            if values is None:
                raise KeyError(
                    f"{owner} has neither 'pred_instances' nor 'pred_panoptic_seg': CellMetric "
                    "needs a model that predicts one."
                )
            if values.shape != size:
                raise ValueError(
                    f"'pred_panoptic_seg' of {owner} has size (H, W) = {values.shape}, the image "
                    f"has {size}. Predictions must be at the original size ('ori_shape')."
                )
            # Shifted, so that instance 0 of class 0 is told from the background.
            ids, index = compact(values.astype(np.int64) + 1)
            labels, void = split_panoptic(ids - 1, num_classes, sample)
            keep = np.concatenate([[False], ~void & np.isin(labels, things)])
            return np.where(keep[index], index, 0), labels
        if pred.get("masks") is None:
            raise KeyError(f"{owner} has no masks in 'pred_instances': CellMetric needs them.")
        labels, scores = (to_numpy(pred[k]).ravel() for k in ("labels", "scores"))
        if not len(pred["masks"]) == len(labels) == len(scores):
            raise ValueError(
                f"'pred_instances' of {owner} has {len(pred['masks'])} masks, {len(labels)} labels "
                f"and {len(scores)} scores; expected as many of each."
            )
        check_labels(labels, None, num_classes, sample)
        order = painting_order(scores, labels, things, self.score_thr)
        return paint_masks(pred["masks"], order, size, owner), labels

    def _statistics(
        self,
        overlaps: CellOverlaps,
        truth_label: np.ndarray,
        pred_label: np.ndarray,
        things: Sequence[int],
    ) -> CellStatistics:
        groups = [overlaps]
        if len(things) == 1:
            groups.append(overlaps)
        else:
            groups += [select_cells(overlaps, truth_label == c, pred_label == c) for c in things]
        areas = np.array([aggregated_jaccard(group) for group in groups], dtype=np.int64)
        return CellStatistics(
            tp=np.array([count_matches(g, self.settings["thresholds"]) for g in groups]),
            truth=np.array([len(g.truth_ids) for g in groups]),
            pred=np.array([len(g.pred_ids) for g in groups]),
            aji_intersection=areas[:, 0],
            aji_union=areas[:, 1],
        )

    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Stack the counts: ``tp`` (n, G, T), the others (n, G), and the groups (G,)."""
        group = np.array([-1, *self._things()])
        shape = {"tp": (len(group), len(self.settings["thresholds"]))}
        arrays = {
            name: np.array([e.stats[i] for e in entries], dtype=np.int64).reshape(
                len(entries), *shape.get(name, (len(group),))
            )
            for i, name in enumerate(CellStatistics._fields)
        }
        return arrays | {"group": group}

    def report(self, values: Mapping[str, float]) -> None:
        """Write the values that are most quoted to the log; warn where there is no cell."""
        first = threshold_name(self.settings["thresholds"][0])
        main = [f"F1@{first}", "F1", f"F1_pooled@{first}", f"AP@{first}", "AP", "AJI"]
        images = len(self.table.images) if self.table else 0
        self.log(
            f"{self.settings} on {images} images: "
            + ", ".join(f"{key} {values[key]:.4f}" for key in main)
        )
        if np.isnan(values["F1"]):
            self.log("the images have no cell, true or predicted: F1 is NaN.", logging.WARNING)
