"""Result files of other programs, read one image at a time: what ``external_results`` evaluates.

``FORMATS`` maps the name of a format to its reader. A reader knows which images it has, and gives
the prediction of one when it is asked; no more than that is in memory.
"""

import difflib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from attnseg.apis.external_maps import read_label_map, size_text
from attnseg.coco_objects import usable_polygons
from attnseg.coco_values import is_number
from attnseg.errors import InputError
from attnseg.evaluation.submission.json_stream import read_json_list
from attnseg.evaluation.submission.saved import SavedPredictions, read_predictions
from attnseg.rle import run_lengths

_MAP_SUFFIXES = (".tif", ".tiff", ".png", ".npy")
# Cellpose, the NeurIPS challenge and our own submissions write these behind the image's stem.
_MAP_ENDINGS = ("_cp_masks", "_masks", "_label", "_seg")


@dataclass(frozen=True)
class ImageInfo:
    """An image of the data set: id, file, and size as (height, width) once it was opened."""

    id: int | str | None
    path: str
    size: tuple[int, int] = (0, 0)

    @property
    def stem(self) -> str:
        """Name of its file without folder and ending."""
        return Path(self.path).stem


@dataclass
class Prediction:
    """What a program predicts for an image; one of the three kinds, or several.

    Attributes:
        labels: (n,) positions in the class list of the data set; None without instances.
        scores: (n,).
        masks: n compressed RLEs of the size of the image.
        semantic: Labels (H, W); the number of classes for void.
        panoptic: mmdet's values (H, W): label + 1000 * instance.
    """

    labels: list[int] | None = None
    scores: list[float] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    semantic: NDArray[np.int32] | None = None
    panoptic: NDArray[np.int32] | None = None

    def add(self, label: int, score: float, mask: Mapping[str, Any]) -> None:
        """Add an instance."""
        self.labels = [] if self.labels is None else self.labels
        self.labels.append(label)
        self.scores.append(score)
        self.masks.append(dict(mask))


@dataclass(frozen=True)
class Classes:
    """How the classes of a program become those of the data set.

    Attributes:
        names: Of the data set.
        categories: Category id of the annotation file -> label.
        given: The program's names in its order; None for the order of the data set.
        single: Label of all instances, for programs without classes; None if not said.
    """

    names: tuple[str, ...]
    categories: Mapping[int, int]
    given: tuple[str, ...] | None = None
    single: int | None = None

    def label_of(self, index: int, where: str) -> int:
        """Label of the program's class number.

        Raises:
            InputError: There is no such class.
        """
        order = self.given or self.names
        if not 0 <= index < len(order):
            raise InputError(f"{where}: class {index} of {len(order)} classes ({_short(order)}).")
        return nearest_label(order[index], self.names) if self.given else index

    def only(self) -> int:
        """Label of all instances of a program without classes.

        Raises:
            InputError: The data set has several classes, and none was named.
        """
        if self.single is None:
            raise InputError(
                "this format has no classes and the data set has several "
                f"({_short(self.names)}): name that of the instances with --class-name."
            )
        return self.single


def nearest_label(name: str, names: Sequence[str]) -> int:
    """Position of a name.

    Raises:
        InputError: It is none of them; proposes the nearest.
    """
    if name in names:
        return list(names).index(name)
    near = difflib.get_close_matches(name, names, n=1)
    raise InputError(
        f"class '{name}' is none of the data set's ({_short(names)})"
        + (f"; is '{near[0]}' meant?" if near else ".")
    )


class CocoResults:
    """COCO's list of results: image_id, category_id, segmentation (RLE or polygons), score.

    Results wait in a temporary file; memory holds a number for each.
    """

    def __init__(self, path: Path, images: Sequence[ImageInfo], classes: Classes) -> None:
        if not path.is_file():
            raise InputError(f"'{path}' is no file: a json list of COCO results is needed.")
        self._path, self._classes = path, classes
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the reader
        self._places: dict[Any, list[tuple[int, int]]] = {}
        known = {image.id for image in images}
        with path.open("rb") as stream:
            for number, result in enumerate(read_json_list(stream, str(path))):
                self._keep(number, result, known)

    def _keep(self, number: int, result: dict[str, Any], known: set[Any]) -> None:
        name = f"'{self._path}': result {number}"
        lacking = {"image_id", "category_id", "segmentation", "score"} - result.keys()
        if lacking:
            raise InputError(f"{name} lacks {', '.join(sorted(lacking))}.")
        if not _is_id(result["image_id"]) or result["image_id"] not in known:
            near = difflib.get_close_matches(str(result["image_id"]), map(str, known), n=1)
            raise InputError(
                f"{name} is of image id {result['image_id']!r}, which the data set has not: are "
                f"the results of another set?{f' Near: {near[0]}.' if near else ''}"
            )
        category = result["category_id"]
        if not _is_id(category) or category not in self._classes.categories:
            ids = sorted(self._classes.categories)
            raise InputError(
                f"{name} has category_id {category!r}; the annotation file has {_short(ids)}."
            )
        if not is_number(result["score"]):
            raise InputError(f"{name} has the score {result['score']!r:.40}: a number is needed.")
        data = json.dumps([number, result]).encode()
        place = (self._spool.tell(), len(data))
        self._spool.write(data)
        self._places.setdefault(result["image_id"], []).append(place)

    def has(self, image: ImageInfo) -> bool:
        """Whether there is a result of the image."""
        return image.id in self._places

    def read(self, image: ImageInfo) -> Prediction:
        """The results of an image, in the order of the file."""
        found = Prediction(labels=[])
        for start, length in self._places[image.id]:
            self._spool.seek(start)
            number, result = json.loads(self._spool.read(length))
            mask = to_rle(result["segmentation"], image.size, f"'{self._path}': result {number}")
            found.add(self._classes.categories[result["category_id"]], result["score"], mask)
        return found


class _Folder:
    """One file an image, found by the stem of the image's file."""

    suffixes: tuple[str, ...]
    endings: tuple[str, ...] = ()

    def __init__(self, path: Path, images: Sequence[ImageInfo], classes: Classes) -> None:
        if not path.is_dir():
            raise InputError(f"'{path}' is no folder: one file an image is needed.")
        self._classes = classes
        stems: dict[str, ImageInfo] = {}
        for image in images:
            if (twin := stems.setdefault(image.stem, image)) is not image:
                raise InputError(
                    f"two images of the data set have the stem '{image.stem}' ('{twin.path}', "
                    f"'{image.path}'): files cannot be told apart; give COCO results instead."
                )
        self._files: dict[str, Path] = {}
        for file in sorted(p for p in path.iterdir() if p.suffix.lower() in self.suffixes):
            stem = self._stem(file, stems)
            if stem in self._files:
                raise InputError(f"'{self._files[stem]}' and '{file}' are of the same image.")
            self._files[stem] = file
        if not self._files:
            raise InputError(f"'{path}' has no file that ends in {', '.join(self.suffixes)}.")

    def _stem(self, file: Path, stems: Mapping[str, ImageInfo]) -> str:
        candidates = [file.stem]
        candidates += [file.stem.removesuffix(e) for e in self.endings if file.stem.endswith(e)]
        for stem in candidates:
            if stem in stems:
                return stem
        near = difflib.get_close_matches(candidates[-1], stems, n=1, cutoff=0.5)
        raise InputError(
            f"'{file}' is of no image of the data set"
            + (f"; is '{near[0]}' meant?" if near else ": files are named after the images.")
        )

    def has(self, image: ImageInfo) -> bool:
        """Whether there is a file of the image."""
        return image.stem in self._files


class LabelMaps(_Folder):
    """Instance label maps as Cellpose writes them: 0 for background, one number an instance."""

    suffixes, endings = _MAP_SUFFIXES, _MAP_ENDINGS

    def read(self, image: ImageInfo) -> Prediction:
        """The instances of an image; all have score 1."""
        file, label = self._files[image.stem], self._classes.only()
        found = Prediction(labels=[])
        pixels = read_label_map(file, image.size)
        for number in np.unique(pixels[pixels != 0]).tolist():
            mask = rle_tools.encode(np.asfortranarray(pixels == number, dtype=np.uint8))
            found.add(label, 1.0, mask)
        return found


class ClassMaps(_Folder):
    """Semantic maps: the program's class numbers; 255 (or 65535) is void."""

    suffixes, endings = _MAP_SUFFIXES, ("_labelTrainIds", "_pred", "_label")

    def read(self, image: ImageInfo) -> Prediction:
        """The map of an image."""
        file, count = self._files[image.stem], len(self._classes.names)
        pixels = read_label_map(file, image.size)
        labels = np.full(image.size, count, dtype=np.int32)
        order = len(self._classes.given or self._classes.names)
        for number in np.unique(pixels).tolist():
            if number not in (255, 65535) or number < order:
                labels[pixels == number] = self._classes.label_of(number, f"'{file}'")
        return Prediction(semantic=labels)


class YoloPolygons(_Folder):
    """YOLO's text files: ``class x1 y1 x2 y2 ... [confidence]``, in parts of width and height."""

    suffixes = (".txt",)

    def read(self, image: ImageInfo) -> Prediction:
        """The polygons of an image; without a confidence, the score is 1.

        Raises:
            InputError: A line is no polygon; names it.
        """
        file, found = self._files[image.stem], Prediction(labels=[])
        height, width = image.size
        try:
            lines = file.read_text("utf-8").splitlines()
        except ValueError as error:
            raise InputError(f"'{file}' is no text file: {error}.") from error
        for number, line in enumerate(lines, 1):
            where = f"'{file}', line {number}"
            if not line.strip():
                continue
            try:
                values = [float(value) for value in line.split()]
            except ValueError as error:
                raise InputError(f"{where}: {error}; expected numbers.") from error
            points, rest = values[1:], len(values) % 2 == 0
            score = points.pop() if rest else 1.0
            if len(points) < 6 or not values[0].is_integer():
                raise InputError(
                    f"{where} is {line!r:.60}: 'class x1 y1 x2 y2 x3 y3 ... [confidence]' is "
                    "needed; boxes alone have no mask."
                )
            if not all(-0.001 <= value <= 1.001 for value in [*points, score]):
                raise InputError(f"{where}: points and confidence must be between 0 and 1.")
            polygon = (np.reshape(points, (-1, 2)) * (width, height)).ravel().tolist()
            mask = rle_tools.merge(rle_tools.frPyObjects([polygon], height, width))
            found.add(self._classes.label_of(int(values[0]), where), score, mask)
        return found


class SamMasks(_Folder):
    """SAM's json files: a list of masks, or an object with them as ``annotations``."""

    suffixes = (".json",)

    def read(self, image: ImageInfo) -> Prediction:
        """The masks of an image, with ``predicted_iou`` for the score.

        Raises:
            InputError: The file, or a mask in it, is not of this form; names it.
        """
        file, label, found = self._files[image.stem], self._classes.only(), Prediction(labels=[])
        try:
            content = json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"'{file}' is no json file: {error}.") from error
        masks = content.get("annotations") if isinstance(content, dict) else content
        if not isinstance(masks, list):
            raise InputError(f"'{file}': a list of masks, or 'annotations' with it, is needed.")
        for number, mask in enumerate(masks):
            where = f"'{file}': mask {number}"
            if not isinstance(mask, dict) or not {"segmentation", "predicted_iou"} <= mask.keys():
                raise InputError(f"{where} lacks 'segmentation' or 'predicted_iou'.")
            if not is_number(mask["predicted_iou"]):
                raise InputError(f"{where} has the predicted_iou {mask['predicted_iou']!r:.40}.")
            rle = to_rle(mask["segmentation"], image.size, where)
            found.add(label, mask["predicted_iou"], rle)
        return found


class SavedFolder:
    """The folder of ``tools/test.py --save-predictions``; classes are matched by name."""

    def __init__(self, path: Path, images: Sequence[ImageInfo], classes: Classes) -> None:
        self._saved: SavedPredictions = read_predictions(path)
        self._names = classes.names
        try:
            self._order = [nearest_label(name, classes.names) for name in self._saved.classes]
        except InputError as error:
            raise InputError(f"'{path}': {error}") from error
        known = {image.id for image in images} | {Path(image.path).name for image in images}
        for image in self._saved:
            if image.id not in known and Path(image.path).name not in known:
                raise InputError(f"'{path}' has image {image.path!r}, which the data set has not.")

    def has(self, image: ImageInfo) -> bool:
        """Whether the image was predicted."""
        try:
            self._saved.find(id=image.id, path=image.path)
        except KeyError:
            return False
        return True

    def read(self, image: ImageInfo) -> Prediction:
        """The prediction of an image.

        Raises:
            InputError: It has another size than the image.
        """
        saved, found = self._saved.find(id=image.id, path=image.path), Prediction()
        if saved.size != image.size:
            raise InputError(size_text(f"prediction of '{image.path}'", saved.size, image.size))
        order = np.array([*self._order, len(self._names)])
        if "instances" in saved.parts:
            own = self._saved.instances(saved)
            found.labels = order[own.labels].tolist()
            found.scores = own.scores.tolist()
            found.masks = [dict(mask) for mask in own.masks]
        if "semantic" in saved.parts:
            found.semantic = order[self._saved.semantic(saved)].astype(np.int32)
        if "panoptic" in saved.parts:
            values = self._saved.panoptic(saved)
            found.panoptic = (values - values % 1000 + order[values % 1000]).astype(np.int32)
        return found


FORMATS = {
    "coco": CocoResults,
    "labels": LabelMaps,
    "classes": ClassMaps,
    "yolo": YoloPolygons,
    "sam": SamMasks,
    "saved": SavedFolder,
}


def to_rle(segmentation: Any, size: tuple[int, int], where: str) -> dict[str, Any]:
    """Compressed RLE of a COCO segmentation.

    Raises:
        InputError: It is damaged, or of another size than its image.
    """
    try:
        if isinstance(segmentation, list):
            polygons = usable_polygons(segmentation, where)
            if not polygons:
                return rle_tools.encode(np.zeros(size, np.uint8, order="F"))
            return rle_tools.merge(rle_tools.frPyObjects(polygons, *size))
        run_lengths(segmentation, size)
    except ValueError as error:
        text = str(error)
        raise InputError(text if text.startswith(where) else f"{where}: {text}.") from error
    if isinstance(segmentation["counts"], list):
        return rle_tools.frPyObjects(segmentation, *size)
    return {"size": list(size), "counts": segmentation["counts"]}


def source_files(path: Path) -> list[Path]:
    """The files that a result consists of, for their hash."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _is_id(value: Any) -> bool:
    """Whether a value can be looked up: a damaged file has lists and objects for ids."""
    return isinstance(value, (int, str))


def _short(values: Iterable[Any]) -> str:
    listed = [str(value) for value in values]
    return ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
