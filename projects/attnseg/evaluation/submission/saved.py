"""Predictions of a test run in a folder: written by `attnseg.PredictionWriter`, read here.

::

    index.json               version, classes, things, palette; id, path, size and parts per image
    instances/<name>.json    size, labels, scores, masks (COCO's compressed RLE)
    semantic/<name>.png      labels in 8 or 16 bits, the highest value for void
    panoptic/<name>.png      R + 256 G + 65536 B = 1 + label + 1000 * instance, 0 for void

All of it is at the original size of the images. Nothing is pickled.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attnseg._atomic import write_json
from attnseg.compat import rgb2id
from attnseg.evaluation.submission.class_png import class_png_type
from attnseg.evaluation.submission.png import decode_png
from attnseg.rle import decode_mask, run_lengths

VERSION = 1
INDEX = "index.json"
SUFFIXES = {"instances": ".json", "semantic": ".png", "panoptic": ".png"}
# mmdet's INSTANCE_OFFSET; readers of predictions need no mmdet.
OFFSET = 1000


class SavedImage(NamedTuple):
    """A predicted image.

    Attributes:
        id: As the data set numbers it; None where it does not.
        path: Image file, as the run opened it; "" if it was not told.
        name: Stem of its files in the folder.
        size: Height and width.
        parts: Which of ``instances``, ``semantic`` and ``panoptic`` there are.
    """

    id: int | str | None
    path: str
    name: str
    size: tuple[int, int]
    parts: tuple[str, ...]


@dataclass(frozen=True)
class SavedInstances:
    """Instances of an image, in the model's order.

    Attributes:
        labels: (n,) positions in the class list.
        scores: (n,).
        masks: COCO's compressed RLEs, counts as text.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    masks: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        return len(self.masks)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Decode one mask (H, W)."""
        return decode_mask(self.masks[index])


@dataclass(frozen=True)
class SavedPredictions:
    """The predictions of a test run; images are read when they are asked for.

    Attributes:
        folder: Where they lie.
        classes: Names in the order of the labels.
        things: One flag a class.
        palette: One RGB colour a class, None where the data set has none.
        images: The images, sorted by id and path.
    """

    folder: Path
    classes: tuple[str, ...]
    things: tuple[bool, ...]
    palette: tuple[tuple[int, int, int], ...] | None
    images: tuple[SavedImage, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[SavedImage]:
        return iter(self.images)

    def find(self, id: int | str | None = None, path: str | None = None) -> SavedImage:
        """Find an image by its id, else by its path or, where it is unique, its file name.

        Raises:
            KeyError: If there is no such image, or several.
        """
        if id is not None:
            found = [image for image in self.images if image.id == id]
        else:
            wanted = str(path)
            found = [image for image in self.images if image.path == wanted]
            name = PurePath(wanted).name
            found = found or [i for i in self.images if name and PurePath(i.path).name == name]
        if len(found) != 1:
            raise KeyError(
                f"'{self.folder}' has {len(found)} predictions of image id {id!r}, path {path!r}."
            )
        return found[0]

    def instances(self, image: SavedImage) -> SavedInstances:
        """Read the instances of an image.

        Raises:
            KeyError: If the model predicted none of this kind.
            ValueError: If the file is damaged or missing; names it.
        """
        path = self._path(image, "instances")
        content = _read_json(path)
        try:
            labels = np.array(content["labels"], dtype=np.int64)
            scores = np.array(content["scores"], dtype=np.float64)
            masks = tuple(content["masks"])
            if not len(labels) == len(scores) == len(masks):
                raise ValueError(f"{len(labels)} labels, {len(scores)} scores, {len(masks)} masks")
            self._check_labels(labels)
            for mask in masks:
                run_lengths(mask, image.size)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _damaged(path, error) from error
        return SavedInstances(labels, scores, masks)

    def semantic(self, image: SavedImage) -> NDArray[np.int32]:
        """Read the labels of an image (H, W); void is the number of classes.

        Errors as of `instances`.
        """
        path = self._path(image, "semantic")
        kind = class_png_type(len(self.classes))
        # Pillow before 11 gives 16-bit files the mode I.
        modes = ("L",) if kind is np.uint8 else ("I;16", "I")
        pixels = self._read_png(path, modes, image.size)
        labels = pixels.astype(np.int32)
        labels[labels == np.iinfo(kind).max] = len(self.classes)
        if labels.max() > len(self.classes):
            raise _damaged(path, f"label {labels.max()} of {len(self.classes)} classes")
        return labels

    def panoptic(self, image: SavedImage) -> NDArray[np.int32]:
        """Read mmdet's panoptic values (H, W): label + 1000 * instance.

        Void is the number of classes. Errors as of `instances`.
        """
        path = self._path(image, "panoptic")
        values = rgb2id(self._read_png(path, ("RGB",), image.size)) - 1
        values[values < 0] = len(self.classes)
        if (values % OFFSET).max() > len(self.classes):
            raise _damaged(path, f"a label above those of the {len(self.classes)} classes")
        return values

    def class_map(self, image: SavedImage) -> NDArray[np.int32]:
        """Labels (H, W) of the semantic or, where there is none, of the panoptic prediction.

        Raises:
            ValueError: If the image has neither, or the file is damaged.
        """
        if "semantic" in image.parts:
            return self.semantic(image)
        if "panoptic" in image.parts:
            return self.panoptic(image) % OFFSET
        raise ValueError(
            f"'{self.folder}': image '{image.name}' has neither a semantic nor a panoptic "
            f"prediction, only {', '.join(image.parts)}: this format needs one."
        )

    def require(self, part: str) -> None:
        """Make sure that all images have a part.

        Raises:
            ValueError: If one has not.
        """
        lacking = [image for image in self.images if part not in image.parts]
        if lacking:
            raise ValueError(
                f"'{self.folder}': image '{lacking[0].name}' and {len(lacking) - 1} more have no "
                f"{part} prediction, only {', '.join(lacking[0].parts)}: this format needs it."
            )

    def _path(self, image: SavedImage, part: str) -> Path:
        if part not in image.parts:
            raise KeyError(
                f"'{self.folder}': image '{image.name}' has no {part} prediction, only "
                f"{', '.join(image.parts)}."
            )
        return self.folder / part / f"{image.name}{SUFFIXES[part]}"

    def _read_png(self, path: Path, modes: tuple[str, ...], size: tuple[int, int]) -> NDArray[Any]:
        try:
            return decode_png(path.read_bytes(), path.name, modes, size)
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def _check_labels(self, labels: NDArray[np.int64]) -> None:
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise ValueError(
                f"labels {labels.min()} to {labels.max()}, {len(self.classes)} classes"
            )


def read_predictions(folder: str | Path) -> SavedPredictions:
    """Open a folder of predictions; only its index is read.

    Raises:
        FileNotFoundError: If the folder or its index does not exist.
        ValueError: If the index is damaged or of another version; names it.
    """
    folder = Path(folder)
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f"'{folder}' has no {INDEX}: give the folder that `tools/test.py ... "
            "--save-predictions DIR` wrote; it appears when the test is complete."
        )
    content = _read_json(path)
    try:
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}, this program reads {VERSION}")
        classes = tuple(content["classes"])
        if not all(isinstance(name, str) for name in classes):
            raise ValueError(f"the classes {classes!r:.80}, which are no names")
        palette = content["palette"]
        predictions = SavedPredictions(
            folder,
            classes,
            tuple(map(bool, content["things"])),
            palette and tuple((int(r), int(g), int(b)) for r, g, b in palette),
            tuple(map(_saved_image, content["images"])),
        )
        if len(predictions.things) != len(classes):
            raise ValueError(f"{len(classes)} classes, {len(predictions.things)} thing flags")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(path, error) from error
    return predictions


def write_index(
    folder: Path,
    classes: Sequence[str],
    things: Sequence[bool],
    palette: Sequence[Sequence[int]] | None,
    images: Sequence[SavedImage],
) -> None:
    """Write the index, which completes a folder of predictions.

    Raises:
        OSError: If it cannot be written.
    """
    content = {
        "version": VERSION,
        "classes": classes,
        "things": things,
        "palette": palette,
        "images": [image._asdict() for image in images],
    }
    write_json(folder / INDEX, content, indent=None)


def _saved_image(entry: Mapping[str, Any]) -> SavedImage:
    name, parts = entry["name"], tuple(entry["parts"])
    # An index from elsewhere must not make us read files from elsewhere.
    if PurePath(name).name != name or "\\" in name or not set(parts) <= SUFFIXES.keys():
        raise ValueError(f"image named {name!r} with the parts {parts}")
    height, width = entry["size"]
    img_id, path = entry["id"], entry["path"]
    if not isinstance(path, str) or not isinstance(img_id, (int, str, type(None))):
        raise ValueError(f"image {name!r} with the id {img_id!r:.40} and the path {path!r:.40}")
    return SavedImage(img_id, path, name, (int(height), int(width)), parts)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise _damaged(path, f"an object is needed, not {type(content).__name__}")
    return content


def _damaged(path: Path, reason: object) -> ValueError:
    if isinstance(reason, KeyError):
        reason = f"lacks {reason}"
    return ValueError(
        f"saved prediction '{path}' is damaged or no file of this kind: {reason}. Run the test "
        "again with --save-predictions into another folder."
    )
