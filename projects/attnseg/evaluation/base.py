"""What every metric of this package shares: one small entry per image, merged exactly once.

A metric's ``process`` appends one `ImageEntry` per image. Whatever the number of processes and
however the sampler padded the last batch, `PerImageMetric.compute_metrics` first drops repeated
images and sorts the rest, so the answer equals that of a single process to the last bit.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, collect_results, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from attnseg.evaluation.bootstrap import Interval, intervals
from attnseg.evaluation.classes import unique_names
from attnseg.evaluation.scores import score
from attnseg.per_image import ImageRef, PerImageTable

ImageKey = tuple[int, int | str, str]
"""Sortable identity of an image: (0 for integer ids and 1 for texts, id, path)."""


class ImageEntry(NamedTuple):
    """The statistics of one image: all that a metric keeps of it.

    Attributes:
        key: An `ImageKey`; of objects that count alone, it and the key of the object.
        stats: The metric's own.
    """

    key: Any
    stats: Any


def image_key(sample: Mapping[str, Any]) -> ImageKey:
    """Return the identity of a sample from its ``img_id``, its ``img_path`` or both.

    Raises:
        KeyError: If the sample has neither.
    """
    img_id, path = sample.get("img_id"), sample.get("img_path")
    if img_id is None and path is None:
        raise KeyError(
            "A data sample has neither 'img_id' nor 'img_path', so repeated images cannot be told "
            "apart: add one of them to the 'meta_keys' of the Pack...Inputs transform."
        )
    path = "" if path is None else str(path)
    if img_id is None:
        return (1, "", path)
    if isinstance(img_id, str):
        return (1, img_id, path)
    return (0, int(img_id), path)


def image_id(key: ImageKey) -> int | str | None:
    """Return the ``img_id`` that a key was made from; None where there was none."""
    kind, img_id, _ = key
    return img_id if kind == 0 or img_id else None


def describe_image(sample: Mapping[str, Any]) -> str:
    """Name a sample in an error message."""
    kind, img_id, path = image_key(sample)
    parts = [f"img_id {img_id!r}"] if kind == 0 or img_id else []
    return "image " + ", ".join(parts + ([f"'{path}'"] if path else []))


def merge_entries(entries: Iterable[ImageEntry]) -> list[ImageEntry]:
    """Keep the first entry of each image, in the order of their keys."""
    unique: dict[ImageKey, ImageEntry] = {}
    for entry in entries:
        unique.setdefault(entry.key, entry)
    return [unique[key] for key in sorted(unique)]


def stack_statistics(
    fields: type[NamedTuple], entries: Sequence[ImageEntry], num_classes: int
) -> dict[str, np.ndarray]:
    """Stack statistics that are tuples of arrays (C,): one array (n, C) for each field."""
    return {
        name: np.array([entry.stats[i] for entry in entries]).reshape(len(entries), num_classes)
        for i, name in enumerate(fields._fields)
    }


def to_numpy(value: Any) -> np.ndarray:
    """Bring a tensor of any device, or anything array-like, to numpy."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.is_floating_point():
            # numpy has no bfloat16, which autocast gives; float32 holds it exactly.
            value = value.to(torch.promote_types(value.dtype, torch.float32))
    return np.asarray(value)


class CollectingMetric(BaseMetric):
    """Base of everything that runs as a metric: shards of any length, every image once."""

    def evaluate(self, size: int) -> dict[str, float]:
        """Collect the entries of all processes and compute the metrics.

        mmengine's own version interleaves shards of equal length and cuts at ``size``. Shards are
        collected whole here, so that samplers which give processes unequal shares lose nothing.

        Args:
            size: Number of samples in the data set; a different number of images is warned of.
        """
        shards = collect_results(
            [self.results], get_world_size(), self.collect_device, self.collect_dir
        )
        # One entry, which the first process replaces.
        metrics: list[dict[str, float]] = [{}]
        if is_main_process():
            entries = merge_entries(entry for shard in shards for entry in shard)
            if len(entries) != size:
                self.log(
                    f"{len(entries)} different images were evaluated, the data set says {size}.",
                    logging.WARNING,
                )
            values = self.summarize(entries)
            metrics = [{f"{self.prefix}/{k}" if self.prefix else k: v for k, v in values.items()}]
        broadcast_object_list(metrics)
        self.results.clear()
        return metrics[0]

    def compute_metrics(self, results: Sequence[ImageEntry]) -> dict[str, float]:
        """Turn entries into metrics; repeated images count once, the order does not matter."""
        return self.summarize(merge_entries(results))

    @abstractmethod
    def summarize(self, entries: Sequence[ImageEntry]) -> dict[str, float]:
        """Compute the metrics from unique, sorted entries."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names of the data set.

        Raises:
            ValueError: If the data set gave none.
        """
        classes = (self.dataset_meta or {}).get("classes")
        if not classes:
            raise ValueError(
                f"{type(self).__name__} needs dataset_meta['classes'], which the data set does "
                "not give: set 'metainfo=dict(classes=(...))' in the dataset config."
            )
        return (classes,) if isinstance(classes, str) else tuple(classes)

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Write to the run's log, with the name of the metric."""
        print_log(f"{type(self).__name__}: {text}", logger="current", level=level)


class PerImageMetric(CollectingMetric):
    """Base of the metrics that come from statistics of each image.

    All values that a subclass returns are unrounded fractions in [0, 1]; a value that the data
    do not define (no object of that kind anywhere) is NaN.

    Attributes:
        settings: Everything that changes the numbers; printed with them, and compared before two
            results are ranked in one table.
        classwise: Whether the values of single classes are among the metrics; the statistics
            always have them.
        table: Statistics of the images of the last evaluation; only on the main process.
    """

    settings: dict[str, Any]
    classwise: bool = False
    table: PerImageTable | None = None

    def summarize(self, entries: Sequence[ImageEntry]) -> dict[str, float]:
        """Compute the metrics from unique, sorted entries; sets `table`."""
        self.table = PerImageTable(
            metric=type(self).__name__,
            prefix=self.prefix or "",
            settings=self.settings,
            classes=tuple(unique_names(self.class_names)),
            images=tuple(ImageRef(image_id(entry.key), entry.key[2]) for entry in entries),
            arrays=self.statistics(entries),
        )
        values = {key: float(value[0]) for key, value in score(self.table).items()}
        self.report(values)
        return {key: value for key, value in values.items() if self.classwise or "/" not in key}

    @abstractmethod
    def statistics(self, entries: Sequence[ImageEntry]) -> dict[str, np.ndarray]:
        """Bring unique, sorted entries into the arrays that the metric's scores are made of."""

    def report(self, values: Mapping[str, float]) -> None:
        """Write the values that are not of single classes to the run's log."""
        images = len(self.table.images) if self.table else 0
        main = ", ".join(f"{key} {value:.4f}" for key, value in values.items() if "/" not in key)
        self.log(f"{self.settings} on {images} images: {main}")

    def intervals(
        self, resamples: int = 1000, level: float = 0.95, seed: int = 0
    ) -> dict[str, Interval]:
        """Bootstrap intervals of the last evaluation's values, keys as in its metrics.

        Empty where nothing was evaluated, and on all processes but the main one. See
        `attnseg.evaluation.bootstrap.intervals`.
        """
        if self.table is None:
            return {}
        found = intervals(self.table, resamples, level, seed)
        return {f"{self.prefix}/{k}" if self.prefix else k: v for k, v in found.items()}
