"""Annotations of single images, found again from what a record says of its data.

Nothing is drawn that may be another file's: a COCO-form file, or the label maps of all images, must
have the hash of the record.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnseg.coco_files import read_coco_json, read_segment_ids
from attnseg.evaluation.masks import encode_segmentation
from attnseg.file_hash import file_hash, files_hash
from attnseg.file_names import fault_of_name
from attnseg.leaderboard.pictures import read_image
from attnseg.per_image import ImageRef
from attnseg.rle import decode_mask

_LEVELS = 4
_IMAGES = ("images", "image", "img_dir", "imgs", "leftImg8bit", "JPEGImages")
_LABELS = ("annotations", "ann_dir", "labels", "masks", "gtFine", "SegmentationClass")


@dataclass(frozen=True)
class Segments:
    """What is at each pixel of an image.

    Attributes:
        index: Position in the labels (H, W), -1 for nothing.
        labels: Class of each segment.
        things: Whether each segment is an object of its own.
    """

    index: NDArray[np.int32]
    labels: list[int]
    things: list[bool]


class Truth:
    """Annotations of a data set that was evaluated.

    Args:
        annotations: Name of the annotation file, or of the folder of label maps.
        content_hash: That of the file, or of all label maps, as the record has it.
        classes: Names in the order of the labels.
        images: All images of the run; label maps can be verified only together.
    """

    def __init__(
        self,
        annotations: str | None,
        content_hash: str | None,
        classes: Sequence[str],
        images: Sequence[ImageRef] = (),
    ) -> None:
        self.name, self.hash, self.classes = annotations or "", content_hash, tuple(classes)
        self._images = [Path(image.path) for image in images]
        self._files: dict[Path, Path | None] = {}
        self._contents: dict[Path, dict[str, Any]] = {}
        self._labels: dict[int, int] = {}
        self._things: dict[int, bool] = {}

    def find(self, image: ImageRef, areas: NDArray[np.integer] | None = None) -> Segments | None:
        """The annotation of an image; None if it is not found, or not surely the right one.

        Args:
            image: As the run knew it.
            areas: Labelled pixels of each class (C,), which tell how a label map was read.
        """
        try:
            if self.name.endswith(".json"):
                return self._from_coco(image)
            return self._from_map(image, areas) if areas is not None else None
        except (OSError, ValueError, KeyError):
            return None

    def _from_coco(self, image: ImageRef) -> Segments | None:
        file = self._coco_file(Path(image.path))
        if file is None:
            return None
        content = self._content(file)
        entry = content.get(str(image.id)) or content.get(Path(image.path).name)
        if entry is None:
            return None
        annotations = entry["annotations"]
        if annotations and "segments_info" in annotations[0]:
            return self._panoptic(file, annotations[0])
        return self._instances(entry)

    def _coco_file(self, image: Path) -> Path | None:
        if image.parent not in self._files:
            found = (
                folder / part / self.name
                for folder in list(image.parents)[:_LEVELS]
                for part in ("annotations", ".")
            )
            same = (file for file in found if file.is_file() and file_hash(file) == self.hash)
            self._files[image.parent] = next(same, None)
        return self._files[image.parent]

    def _content(self, file: Path) -> dict[str, Any]:
        if file not in self._contents:
            panoptic = b'"segments_info"' in file.read_bytes()
            form = "panoptic" if panoptic else "instances"
            data = read_coco_json(str(file), form, ("annotations", "image.file_name"))
            position = {name: index for index, name in enumerate(self.classes)}
            names = {c["id"]: c["name"] for c in data["categories"]}
            self._labels = {i: position.get(name, -1) for i, name in names.items()}
            self._things = {c["id"]: bool(c.get("isthing", 1)) for c in data["categories"]}
            by_image = defaultdict(list)
            for annotation in data["annotations"]:
                by_image[annotation["image_id"]].append(annotation)
            entries: dict[str, Any] = {}
            for image in data["images"]:
                entry = {**image, "annotations": by_image[image["id"]]}
                entries[str(image["id"])] = entries[Path(image["file_name"]).name] = entry
            self._contents[file] = entries
        return self._contents[file]

    def _panoptic(self, file: Path, annotation: dict[str, Any]) -> Segments | None:
        if fault_of_name(annotation["file_name"]):
            return None
        png = next((p for p in _panoptic_pngs(file, annotation["file_name"]) if p.is_file()), None)
        if png is None:
            return None
        ids = read_segment_ids(str(png))
        index = np.full(ids.shape, -1, dtype=np.int32)
        labels: list[int] = []
        things: list[bool] = []
        for segment in annotation["segments_info"]:
            index[ids == segment["id"]] = len(labels)
            labels.append(self._labels[segment["category_id"]])
            things.append(self._things[segment["category_id"]])
        return Segments(index, labels, things)

    def _instances(self, entry: dict[str, Any]) -> Segments:
        size = (entry["height"], entry["width"])
        index = np.full(size, -1, dtype=np.int32)
        labels: list[int] = []
        # Large objects first, so that small ones in front of them stay visible.
        for item in sorted(entry["annotations"], key=lambda item: -item["area"]):
            if "segmentation" in item:
                rle = encode_segmentation(item["segmentation"], size, "annotation")
                index[decode_mask(rle)] = len(labels)
                labels.append(self._labels[item["category_id"]])
        return Segments(index, labels, [True] * len(labels))

    def _from_map(self, image: ImageRef, areas: NDArray[np.integer]) -> Segments | None:
        path = self._maps.get(Path(image.path))
        if path is None:
            return None
        pixels = np.asarray(read_image(path)).astype(np.int32)
        if pixels.ndim != 2:
            return None
        # The second is the shift of `reduce_zero_label`, which the record does not tell.
        for labels in (pixels, pixels - 1):
            known = labels[(labels >= 0) & (labels < len(areas))]
            if np.array_equal(np.bincount(known, minlength=len(areas)), areas):
                return from_labels(labels, len(areas))
        return None

    @cached_property
    def _maps(self) -> dict[Path, Path]:
        """Label maps by image; none where they are not, together, those of the record."""
        for images, labels in _map_folders(self._images):
            maps = [
                labels / image.relative_to(images).with_suffix(".png")
                for image in self._images
                if image.is_relative_to(images)
            ]
            complete = len(maps) == len(self._images) and all(path.is_file() for path in maps)
            if complete and files_hash(maps) == self.hash:
                return dict(zip(self._images, maps, strict=True))
        return {}


def from_labels(labels: NDArray[np.integer], classes: int) -> Segments:
    """Segments of a label map; other values than labels are nothing."""
    known = (labels >= 0) & (labels < classes)
    index = np.where(known, labels, -1).astype(np.int32)
    return Segments(index, list(range(classes)), [False] * classes)


def _map_folders(images: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """A folder of images, and one where their label maps may be."""
    for folder in images[0].parents if images else ():
        if folder.name in _IMAGES:
            for name in _LABELS:
                yield folder, folder.with_name(name)


def _panoptic_pngs(file: Path, name: str) -> Iterator[Path]:
    split = file.stem.rpartition("_")[2]
    for folder in (file.parent / file.stem, file.parent.parent / "panoptic", file.parent.parent):
        yield folder / name
        yield folder / split / name
        yield folder / file.stem / name
