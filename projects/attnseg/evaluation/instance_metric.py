"""COCO mask AP of mmdet data samples."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attnseg.evaluation.base import (
    ImageEntry,
    PerImageMetric,
    describe_image,
    image_key,
    to_numpy,
)
from attnseg.evaluation.classes import thing_flags, unique_names
from attnseg.evaluation.functional.average_precision import (
    AREA_LIMIT,
    ApTable,
    evaluate_detections,
)
from attnseg.evaluation.functional.matching import ImageMatches, area_limits, match_image
from attnseg.evaluation.instance_truth import InstanceTruth, Record, sample_objects, xywh
from attnseg.evaluation.masks import encode_masks, mask_areas
from attnseg.evaluation.predictions import check_labels
from attnseg.registry import METRICS

PRESETS: dict[str, dict[str, Any]] = {
    "coco": {
        "max_dets": (1, 10, 100),
        "area_ranges": {
            "s": (0, 32**2),
            "m": (32**2, 96**2),
            "l": (96**2, AREA_LIMIT),
        },
    },
    "livecell": {
        "max_dets": (100, 500, 2000),
        "area_ranges": {
            "s": (0, 18**2),
            "m": (18**2, 31**2),
            "l": (31**2, AREA_LIMIT),
        },
    },
}


@METRICS.register_module()
class CocoInstanceMetric(PerImageMetric):
    """AP, AP50, AP75, AP by object size and AR of instances, in [0, 1] and unrounded.

    All of them use the last entry of ``max_dets``; AR is also given at each entry (``AR@10``).
    Only the images that were processed count. Without predictions AP is 0; without an object (of
    that size or class) it is NaN, not COCO's -1, so that no mean can take it for a number. The
    values are faster-coco-eval's; the matches of each image, from which AP of resampled images
    follows exactly, are ours and lead to the same values.

    Args:
        ann_file: COCO instances json; matched with the classes of the data set by name. Without
            it the truth is read from the samples (``gt_instances`` or ``instances``).
        preset: 'coco' (max_dets 1, 10, 100; sizes split at 32^2 and 96^2 pixels) or 'livecell'
            (100, 500, 2000; 18^2 and 31^2).
        max_dets: In place of the preset's; ascending, detections per image and class.
        area_ranges: In place of the preset's: name -> (lowest, highest) area in pixels, reported
            as ``AP<name>``; names have more than digits and no '/'.
        classwise: Also report ``AP/<class>``, ``AP50/<class>`` and ``AR/<class>``.
        iou_type: 'segm' or 'bbox'.
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
        preset: str = "coco",
        max_dets: Sequence[int] | None = None,
        area_ranges: Mapping[str, tuple[float, float]] | None = None,
        classwise: bool = False,
        iou_type: str = "segm",
        prefix: str | None = "coco",
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if preset not in PRESETS:
            raise ValueError(f"preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}.")
        if iou_type not in ("segm", "bbox"):
            raise ValueError(f"iou_type {iou_type!r} is unknown; choose 'segm' or 'bbox'.")
        max_dets = list(PRESETS[preset]["max_dets"] if max_dets is None else max_dets)
        if not max_dets or min(max_dets) < 1 or sorted(max_dets) != max_dets:
            raise ValueError(f"max_dets must be ascending positive numbers, not {max_dets}.")
        chosen = PRESETS[preset]["area_ranges"] if area_ranges is None else area_ranges
        for name, limits in chosen.items():
            # Such names would replace AP50, or be taken for those of classes.
            if not isinstance(name, str) or not name or name.isdigit() or "/" in name:
                raise ValueError(
                    f"area range {name!r} is reported as 'AP{name}', so its name must be a text "
                    "with more than digits and without '/': 'AP50' is AP at IoU 0.5 and 'AP/...' "
                    "that of a class; rename it, for instance to 'tiny'."
                )
            if len(limits) != 2 or limits[0] > limits[1]:
                raise ValueError(f"area range {name!r} must be (lowest, highest), not {limits}.")
        self.truth = None if ann_file is None else InstanceTruth(ann_file, iou_type)
        self.classwise = classwise
        self.iou_type = iou_type
        self.settings = {
            "metric": "COCO AP",
            "iou_type": iou_type,
            "max_dets": max_dets,
            "area_ranges": {name: [float(v) for v in limits] for name, limits in chosen.items()},
            "truth": "annotations" if self.truth else "samples",
        }

    def _labels(self) -> dict[int, int]:
        """Category id -> label of the things that can occur."""
        if self.truth:
            return self.truth.labels(self.class_names, self.dataset_meta)
        flags = thing_flags(self.class_names, self.dataset_meta)
        return {label: label for label, thing in enumerate(flags) if thing}

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep the run-length codes (or boxes), labels and scores of each image."""
        labels = self._labels()
        for sample in data_samples:
            owner = describe_image(sample)
            if self.truth:
                objects, size = self.truth.objects(sample, labels)
            else:
                size = (int(sample["ori_shape"][0]), int(sample["ori_shape"][1]))
                objects = sample_objects(sample, size, self.iou_type, owner)
                true = np.array([o["category_id"] for o in objects], dtype=np.int64)
                check_labels(true, None, len(self.class_names), sample, "truth")
                objects = [o for o in objects if o["category_id"] in labels.values()]
            detections = self._detections(sample, size, set(labels.values()), owner)
            matches = match_image(
                objects,
                detections,
                self.settings["max_dets"][-1],
                area_limits(self.settings["area_ranges"]),
                self.iou_type,
            )
            stats = {
                "size": size,
                "objects": objects,
                "detections": detections,
                "matches": matches,
            }
            self.results.append(ImageEntry(image_key(sample), stats))

    def _detections(
        self, sample: Mapping[str, Any], size: tuple[int, int], things: set[int], owner: str
    ) -> list[Record]:
        pred = sample.get("pred_instances")
        if pred is None:
            raise KeyError(f"{owner} has no 'pred_instances': the model predicts no instances.")
        labels, scores = (to_numpy(pred[k]).ravel() for k in ("labels", "scores"))
        check_labels(labels, None, len(self.class_names), sample)
        if np.isnan(scores).any():
            raise ValueError(
                f"The prediction of {owner} has a score that is NaN: detections cannot be sorted. "
                "Did the training diverge, or half precision overflow?"
            )
        if self.iou_type == "segm":
            if pred.get("masks") is None:
                raise KeyError(
                    f"{owner} has no masks in 'pred_instances': use iou_type='bbox' for a model "
                    "that only predicts boxes."
                )
            rles = encode_masks(pred["masks"], size, owner)
            regions: list[Record] = [
                {"segmentation": rle, "area": area, "bbox": [0.0] * 4}
                for rle, area in zip(rles, mask_areas(rles), strict=True)
            ]
        else:
            regions = [{"bbox": b, "area": b[2] * b[3]} for b in xywh(pred["bboxes"])]
        if not len(regions) == len(labels) == len(scores):
            raise ValueError(
                f"'pred_instances' of {owner} has {len(regions)} masks or boxes, {len(labels)} "
                f"labels and {len(scores)} scores; expected as many of each."
            )
        return [
            {"category_id": label, "score": score, "iscrowd": 0, **region}
            for label, score, region in zip(labels.tolist(), scores.tolist(), regions, strict=True)
            if label in things
        ]

    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Join the matches of the images, see `attnseg.evaluation.scores.instances`."""
        nothing = match_image([], [], 1, area_limits(self.settings["area_ranges"]), self.iou_type)
        matches = [nothing, *(entry.stats["matches"] for entry in entries)]
        arrays = {
            name: np.concatenate([m[i] for m in matches])
            for i, name in enumerate(ImageMatches._fields)
        }
        for kind in ("det", "gt"):
            lengths = [len(getattr(m, f"{kind}_class")) for m in matches]
            index = np.arange(-1, len(entries), dtype=np.int32)
            arrays[f"{kind}_image"] = np.repeat(index, lengths)
        arrays["is_thing"] = np.zeros(len(self.class_names), dtype=bool)
        arrays["is_thing"][list(self._labels().values())] = True
        return arrays

    def summarize(self, entries: Sequence[ImageEntry]) -> dict[str, float]:
        """Match and average over the processed images, by faster-coco-eval.

        The statistics for resampling go their own way to the same values; the two are compared.
        """
        values, own = self._reference(entries), super().summarize(entries)
        for key, value in own.items():
            if not np.isclose(value, values[key], rtol=0, atol=1e-9, equal_nan=True):
                self.log(
                    f"{key} is {values[key]!r} by faster-coco-eval and {value!r} by the per-image "
                    "statistics; the first is reported. Intervals may be off: please report this.",
                    logging.WARNING,
                )
        return values

    def report(self, values: Mapping[str, float]) -> None:
        """Write the values to the log; warn where there is nothing to find."""
        super().report(values)
        if np.isnan(values["AP"]):
            self.log("the images have no object: AP is NaN.", logging.WARNING)

    def _reference(self, entries: Sequence[ImageEntry]) -> dict[str, float]:
        things = sorted(self._labels().values())
        images, truth, detections = [], [], []
        for img_id, entry in enumerate(entries, 1):
            height, width = entry.stats["size"]
            images.append({"id": img_id, "height": height, "width": width})
            truth += [{**o, "image_id": img_id} for o in entry.stats["objects"]]
            detections += [{**d, "image_id": img_id} for d in entry.stats["detections"]]
        table = evaluate_detections(
            images,
            truth,
            detections,
            things,
            self.settings["max_dets"],
            self.settings["area_ranges"],
            self.iou_type,
        )
        metrics = {
            "AP": table.average_precision(),
            "AP50": table.average_precision(threshold=0),
            "AP75": table.average_precision(threshold=5),
            **{f"AP{a}": table.average_precision(a) for a in self.settings["area_ranges"]},
            "AR": table.average_recall(),
            **{
                f"AR@{limit}": table.average_recall(index)
                for index, limit in enumerate(self.settings["max_dets"])
            },
        }
        return metrics | (self._per_class(table, things) if self.classwise else {})

    def _per_class(self, table: ApTable, things: Sequence[int]) -> dict[str, float]:
        names = unique_names(self.class_names)
        metrics = {}
        for index, label in enumerate(things):
            metrics[f"AP/{names[label]}"] = table.average_precision(category=index)
            metrics[f"AP50/{names[label]}"] = table.average_precision(threshold=0, category=index)
            metrics[f"AR/{names[label]}"] = table.average_recall(category=index)
        return metrics
