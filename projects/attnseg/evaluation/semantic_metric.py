"""Dataset-level IoU, accuracy and Dice of mmseg and mmdet data samples."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attnseg.evaluation.base import (
    ImageEntry,
    ImageKey,
    PerImageMetric,
    image_key,
    stack_statistics,
)
from attnseg.evaluation.class_maps import ClassMaps
from attnseg.evaluation.functional.area import AreaStatistics, area_statistics
from attnseg.evaluation.submission.class_png import class_png_type, write_class_png
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
        output_dir: Folder for the predictions as PNG files, one an image, with the image's name
            (else its id): 8 bits where all values fit, 16 bits where they do not, and one value
            for void. Existing files are replaced.
        label_offset: Added to the labels in these files; 1 for servers that keep 0 for void, as
            ADE20K's. Void is 0 then, and the type's highest value (255 or 65535) without it.
        classwise: Also report ``IoU/<class>``, ``Acc/<class>`` and ``Dice/<class>``.
        prefix: Put before the names of the metrics.
        collect_device: 'cpu' or 'gpu': how the processes exchange their entries.
        collect_dir: Folder for exchange through files.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If only one of ``ann_file`` and ``seg_prefix`` is given; later, if
            ``ignore_index`` is a class, if sizes differ, if labels are outside the classes, or if
            two images would be written to one file.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        prefix: str | None = "semantic",
        classwise: bool = False,
        ann_file: str | None = None,
        seg_prefix: str | None = None,
        output_dir: str | None = None,
        label_offset: int = 0,
        collect_device: str = "cpu",
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if label_offset < 0 or (label_offset and output_dir is None):
            raise ValueError(
                f"label_offset={label_offset} is for the files in 'output_dir': give that folder, "
                "and an offset of 0 or more."
            )
        self.maps = ClassMaps("SemanticMetric", ignore_index, ann_file, seg_prefix)
        self.classwise = classwise
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.label_offset = label_offset
        self._written: dict[str, ImageKey] = {}
        self.settings = {
            "metric": "dataset-level areas",
            "ignore_index": ignore_index,
            "truth": self.maps.source,
        }

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Reduce each image to four areas per class; write its prediction if asked to."""
        self.maps.set_classes(self.class_names, self.dataset_meta)
        for sample in data_samples:
            pred, label = self.maps.read(sample)
            stats = area_statistics(pred, label, self.maps.num_classes, self.maps.ignore_index)
            if self.output_dir is not None:
                self._write(self.output_dir, sample, pred)
            self.results.append(ImageEntry(image_key(sample), stats))

    def _write(self, folder: Path, sample: Mapping[str, Any], pred: np.ndarray) -> None:
        """Write the map of a sample, named after its image."""
        key = image_key(sample)
        name = _file_name(key)
        if self._written.setdefault(name, key) != key:
            raise ValueError(_same_name(name, [key, self._written[name]]))
        num_classes = self.maps.num_classes
        highest = int(np.iinfo(class_png_type(num_classes, self.label_offset)).max)
        write_class_png(
            folder / name,
            pred,
            num_classes,
            self.label_offset,
            void=0 if self.label_offset else highest,
        )

    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Stack the areas: four arrays (n, C)."""
        if self.output_dir is not None:
            # Another process may have written an image of the same name.
            keys: dict[str, list[ImageKey]] = {}
            for entry in entries:
                keys.setdefault(_file_name(entry.key), []).append(entry.key)
            for name, same in keys.items():
                if len(same) > 1:
                    raise ValueError(_same_name(name, same))
        return stack_statistics(AreaStatistics, entries, len(self.class_names))

    def report(self, values: Mapping[str, float]) -> None:
        """Write the values to the log; warn where nothing is labelled."""
        super().report(values)
        if np.isnan(values["mIoU"]):
            self.log("there is no labelled pixel: mIoU is NaN.", logging.WARNING)


def _file_name(key: ImageKey) -> str:
    return f"{Path(key[2]).stem or key[1]}.png"


def _same_name(name: str, keys: Sequence[ImageKey]) -> str:
    images = " and ".join(f"'{key[2] or key[1]}'" for key in keys[:2])
    return (
        f"'output_dir' of SemanticMetric: the predictions of {images} would both be '{name}'. "
        "Write predictions with attnseg.PredictionWriter, which keeps them apart."
    )
