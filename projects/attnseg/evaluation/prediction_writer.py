"""Keeps the predictions of a test, so that submissions and values come from the same ones."""

import logging
import os
import re
import secrets
import shutil
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from attnseg._atomic import write_bytes, write_json
from attnseg.compat import id2rgb
from attnseg.evaluation.base import (
    CollectingMetric,
    ImageEntry,
    describe_image,
    image_id,
    image_key,
    to_numpy,
)
from attnseg.evaluation.classes import thing_flags
from attnseg.evaluation.masks import encode_masks
from attnseg.evaluation.predictions import check_labels, class_map, find_void, split_panoptic
from attnseg.evaluation.submission.class_png import class_png_type, write_class_png
from attnseg.evaluation.submission.png import png_bytes
from attnseg.evaluation.submission.saved import SUFFIXES, SavedImage, write_index
from attnseg.registry import METRICS

_LONGEST_NAME = 100


@METRICS.register_module()
class PredictionWriter(CollectingMetric):
    """Writes what a model predicts for each image of a test; gives no values.

    Instances (with masks), semantic and panoptic maps are written, whichever the model predicts,
    in the form that `attnseg.evaluation.submission.saved` reads. Each process writes into a
    folder of its own beside ``out_dir``; when the test is over, the main process makes
    ``out_dir`` from them in one step, so that it is complete or absent. Several machines need a
    file system in common.

    Args:
        out_dir: Folder to make; it may exist only if it is empty.
        collect_device: 'cpu' or 'gpu': how the processes exchange their entries.
        collect_dir: Folder for exchange through files.

    Raises:
        FileExistsError: If ``out_dir`` has files; nothing is overwritten. Later, if another run
            filled it meanwhile; the message says where this run's predictions are.
        ValueError: Later, if predictions are not at the original size of their image, have labels
            that are no class, or scores that are no numbers.
    """

    default_prefix = "predictions"

    def __init__(
        self, out_dir: str, collect_device: str = "cpu", collect_dir: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, collect_dir=collect_dir)
        self.out_dir = Path(out_dir).resolve()
        self._own = False
        self._written = 0
        self._staging: Path | None = None
        self._check_free()

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Write the predictions of each image, and remember where."""
        if self._staging is None:
            self._staging = self._new_folder()
            # What a test that stops halfway has written is of no use.
            weakref.finalize(self, shutil.rmtree, self._staging, ignore_errors=True)
        for sample in data_samples:
            self._written += 1
            stem = f"{self._written:08d}"
            size, parts = self._write(sample, self._staging, stem)
            stats = {"folder": str(self._staging), "stem": stem, "size": size, "parts": parts}
            self.results.append(ImageEntry(image_key(sample), stats))

    def _write(
        self, sample: Mapping[str, Any], folder: Path, stem: str
    ) -> tuple[tuple[int, int], list[str]]:
        owner = describe_image(sample)
        maps = {
            "semantic": class_map(sample, "pred_sem_seg"),
            "panoptic": class_map(sample, "pred_panoptic_seg"),
        }
        pred = sample.get("pred_instances")
        masks = None if pred is None else pred.get("masks")
        parts = [part for part, values in maps.items() if values is not None]
        if masks is not None:
            parts.insert(0, "instances")
        if not parts:
            raise KeyError(
                f"{owner} has no 'pred_instances' with masks, no 'pred_sem_seg' and no "
                "'pred_panoptic_seg': PredictionWriter needs a model that predicts one of them."
            )
        size = _image_size(sample, maps, masks)
        for part, values in maps.items():
            if values is not None and values.shape != size:
                raise ValueError(
                    f"The {part} prediction of {owner} has size (H, W) = {values.shape}, the "
                    f"image has {size}. Predictions must be at the original size ('ori_shape')."
                )
        files = {part: folder / part / f"{stem}{SUFFIXES[part]}" for part in parts}
        if pred is not None and masks is not None:
            write_json(files["instances"], self._instances(sample, size, owner), indent=None)
        if maps["semantic"] is not None:
            self._write_semantic(files["semantic"], maps["semantic"], sample)
        if maps["panoptic"] is not None:
            self._write_panoptic(files["panoptic"], maps["panoptic"], sample)
        return size, parts

    def _instances(
        self, sample: Mapping[str, Any], size: tuple[int, int], owner: str
    ) -> dict[str, Any]:
        pred = sample["pred_instances"]
        labels, scores = to_numpy(pred["labels"]).ravel(), to_numpy(pred["scores"]).ravel()
        rles = encode_masks(pred["masks"], size, owner)
        if not len(labels) == len(scores) == len(rles):
            raise ValueError(
                f"'pred_instances' of {owner} has {len(rles)} masks, {len(labels)} labels and "
                f"{len(scores)} scores; expected as many of each."
            )
        check_labels(labels, None, len(self.class_names), sample)
        if not np.isfinite(scores).all():
            raise ValueError(f"Scores of {owner} are NaN or infinite: the model has diverged.")
        return {
            "size": size,
            "labels": labels.tolist(),
            "scores": scores.tolist(),
            "masks": [
                {"size": [int(v) for v in rle["size"]], "counts": _text(rle["counts"])}
                for rle in rles
            ],
        }

    def _write_semantic(self, path: Path, labels: np.ndarray, sample: Mapping[str, Any]) -> None:
        count = len(self.class_names)
        find_void(labels, count, sample, "pred_sem_seg")
        write_class_png(path, labels, count, void=int(np.iinfo(class_png_type(count)).max))

    def _write_panoptic(self, path: Path, values: np.ndarray, sample: Mapping[str, Any]) -> None:
        _, void = split_panoptic(values, len(self.class_names), sample)
        try:
            colours = id2rgb(np.where(void, 0, values.astype(np.int64) + 1))
        except ValueError as error:
            owner = describe_image(sample)
            raise ValueError(f"The panoptic prediction of {owner}: {error}") from error
        write_bytes(path, png_bytes(colours))

    def summarize(self, entries: Sequence[ImageEntry]) -> dict[str, float]:
        """Make the folder from what the processes wrote; returns no values."""
        folder = self._new_folder()
        try:
            self._fill(folder, entries)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._publish(folder)
        self.log(f"predictions of {len(entries)} images are in '{self.out_dir}'.")
        return {}

    def _fill(self, folder: Path, entries: Sequence[ImageEntry]) -> None:
        images = []
        for name, entry in zip(_file_names(entries), entries, strict=True):
            parts = tuple(entry.stats["parts"])
            for part in parts:
                self._take(entry.stats, part, folder / part / f"{name}{SUFFIXES[part]}")
            size = tuple(entry.stats["size"])
            images.append(SavedImage(image_id(entry.key), entry.key[2], name, size, parts))
        classes = self.class_names
        things = thing_flags(classes, self.dataset_meta)
        write_index(folder, classes, things, _palette(self.dataset_meta, len(classes)), images)

    def _take(self, stats: Mapping[str, Any], part: str, target: Path) -> None:
        source = Path(stats["folder"], part, f"{stats['stem']}{SUFFIXES[part]}")
        target.parent.mkdir(exist_ok=True)
        try:
            os.replace(source, target)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"'{source}', written by another process, is not there: give --save-predictions "
                "a folder on a file system that all machines share."
            ) from error

    def _publish(self, folder: Path) -> None:
        if self._own:
            # A validation of the same run; what another run wrote is never removed.
            shutil.rmtree(self.out_dir)
        try:
            os.rename(folder, self.out_dir)
        except OSError as error:
            # An error here would cost the run its numbers.
            self.log(
                f"'{self.out_dir}' cannot be made: {error.strerror}. Another run may have filled "
                f"it meanwhile; the predictions of this run are complete in '{folder}'.",
                logging.ERROR,
            )
            self.out_dir = folder
        self._own = True

    def _check_free(self) -> None:
        taken = not self.out_dir.is_dir() or any(self.out_dir.iterdir())
        if self.out_dir.exists() and taken:
            raise FileExistsError(
                f"'{self.out_dir}' exists and is not empty: predictions of another run are not "
                "overwritten. Give another folder, or remove it."
            )

    def _new_folder(self) -> Path:
        parent = self.out_dir.parent
        parent.mkdir(parents=True, exist_ok=True)
        # Not by mkdtemp, which makes folders that only their owner may read.
        folder = parent / f".{self.out_dir.name}.{secrets.token_hex(8)}.tmp"
        folder.mkdir()
        return folder


def _image_size(
    sample: Mapping[str, Any], maps: Mapping[str, np.ndarray | None], masks: Any
) -> tuple[int, int]:
    shape = sample.get("ori_shape")
    if shape is None:
        found = [values.shape for values in maps.values() if values is not None]
        shape = found[0] if found else tuple(getattr(masks, "shape", ()))[-2:]
    if len(shape) < 2:
        raise KeyError(
            f"{describe_image(sample)} has no 'ori_shape': add it to the 'meta_keys' of the "
            "Pack...Inputs transform."
        )
    return int(shape[0]), int(shape[1])


def _file_names(entries: Sequence[ImageEntry]) -> list[str]:
    """One name an image: its file's, made harmless, with a number where it is taken."""
    taken: set[str] = set()
    names = []
    for entry in entries:
        _, img_id, path = entry.key
        stem = PurePath(path.replace("\\", "/")).stem or str(img_id)
        base = re.sub(r"[^\w.-]+", "_", stem).lstrip(".")[:_LONGEST_NAME] or "image"
        name, number = base, 1
        # Some file systems do not tell small letters from capitals.
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _palette(meta: Mapping[str, Any] | None, count: int) -> list[list[int]] | None:
    """The data set's colours, where it has one for each class ('random' is a palette, too)."""
    palette = (meta or {}).get("palette")
    if palette is None or isinstance(palette, str) or len(palette) != count:
        return None
    return [[int(v) for v in colour] for colour in palette]


def _text(counts: bytes | str) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts
