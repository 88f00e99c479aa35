"""The images on which a run is worst, with its predictions and the truth drawn over them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.submission.saved import (
    OFFSET,
    SavedImage,
    SavedPredictions,
    read_predictions,
)
from attnseg.leaderboard.columns import Column
from attnseg.leaderboard.pictures import Colour, class_colours, hue, image_uri, overlay_uri
from attnseg.leaderboard.records import Record
from attnseg.leaderboard.significance import find_table, values_of
from attnseg.leaderboard.truth import Segments, Truth, from_labels
from attnseg.per_image import ImageRef, PerImageTable, image_names

_BLOCK = 100
_MIN_SCORE = 0.5


class Worst(NamedTuple):
    """An image of a table and the run's score on it alone."""

    position: int
    image: ImageRef
    name: str
    score: float


@dataclass
class Album:
    """Pictures of a page, each once, below a common size.

    Attributes:
        limit: Bytes of all pictures.
        pictures: Data URIs by key.
        size: Bytes so far.
        full: Whether a picture was left out.
        truths: Annotations by what they belong to, each read once.
    """

    limit: int
    pictures: dict[str, str] = field(default_factory=dict)
    size: int = 0
    full: bool = False
    truths: dict[tuple[Any, ...], Truth] = field(default_factory=dict)

    def add(self, key: str, make: Callable[[], str]) -> str | None:
        """Keep a picture unless it is too much; returns its key if it is there."""
        if key not in self.pictures:
            uri = make()
            if self.size + len(uri) > self.limit:
                self.full = True
                return None
            self.pictures[key] = uri
            self.size += len(uri)
        return key


def image_scores(table: PerImageTable, key: str) -> NDArray[np.float64]:
    """A metric of each image alone (n,); NaN where the image does not define it."""
    images = len(table.images)
    parts = []
    for start in range(0, images, _BLOCK):
        chosen = np.arange(start, min(start + _BLOCK, images))
        part = _only(table, chosen)
        # Each image is a resample of its own.
        weights = np.zeros((len(chosen), len(part.images)), dtype=np.int64)
        weights[np.arange(len(chosen)), chosen if part is table else chosen - start] = 1
        parts.append(values_of(part, weights, key))
    return np.concatenate(parts) if parts else np.empty(0)


def worst_images(record: Record, column: Column, count: int) -> tuple[PerImageTable, list[Worst]]:
    """The images with the worst scores, worst first.

    Raises:
        ValueError: If the record has no usable statistics.
    """
    table, key = find_table(record, column.key)
    scores, names = image_scores(table, key), image_names(table)
    order = sorted(
        (index for index in range(len(scores)) if not math.isnan(scores[index])),
        key=lambda index: (scores[index] if not column.lower else -scores[index], names[index]),
    )
    return table, [Worst(i, table.images[i], names[i], float(scores[i])) for i in order[:count]]


def run_images(record: Record, column: Column, count: int, album: Album) -> dict[str, Any]:
    """Cards of a run's worst images for the page.

    Returns:
        ``cards`` with name, score and keys of pictures, and ``notes``: what is lacking, and why.
    """
    try:
        table, worst = worst_images(record, column, count)
    except ValueError as error:
        return {"cards": [], "notes": [f"No per-image scores: {error}"], "legend": []}
    notes: list[str] = []
    predictions = _predictions(record, notes)
    truth = _truth(record, table, album)
    classes = predictions.classes if predictions else table.classes
    colours = class_colours(classes, predictions.palette if predictions else None)
    cards: list[dict[str, Any]] = []
    flat: set[int] = set()
    objects = False
    for item in worst:
        card: dict[str, Any] = {"name": item.name, "score": item.score, "path": item.image.path}
        cards.append(card)
        try:
            shown = partial(image_uri, item.image.path)
            card["image"] = album.add(f"i:{item.image.path}", shown)
        except (FileNotFoundError, ValueError) as error:
            card["note"] = str(error)
            continue
        drawn = {"prediction": _predicted(predictions, item, notes)} if predictions else {}
        drawn["truth"] = _true(truth, table, item)
        for layer, segments in drawn.items():
            if segments is None:
                continue
            pairs = list(zip(segments.labels, segments.things, strict=True))
            flat |= {label for label, thing in pairs if not thing}
            objects |= any(segments.things)
            who = record.id if layer == "prediction" else record.get("data.hash")
            paint = _painter(segments, tuple(classes), colours)
            card[layer] = album.add(f"{layer[0]}:{who}:{item.image.path}", paint)
    if album.full:
        notes.append("The page's limit for pictures is reached: give a larger --image-mib.")
    if cards and not any(card.get("truth") for card in cards):
        notes.append("No annotations that are surely those of the run were found: no truth.")
    legend: list[list[str | None]] = [
        [name, f"#{bytes(colours[name]).hex()}"]
        for label, name in enumerate(classes)
        if label in flat
    ]
    if objects:
        legend.append(["each object has a colour of its own", None])
    return {"cards": cards, "notes": list(dict.fromkeys(notes)), "legend": legend[:40]}


def _only(table: PerImageTable, chosen: NDArray[np.intp]) -> PerImageTable:
    """The statistics of some images where rows are detections; other tables stay whole."""
    if "det_image" not in table.arrays:
        return table
    arrays = dict(table.arrays)
    for kind in ("det_", "gt_"):
        owner = arrays[f"{kind}image"]
        kept = np.isin(owner, chosen)
        for key in [key for key in arrays if key.startswith(kind)]:
            arrays[key] = arrays[key][kept]
        arrays[f"{kind}image"] = (owner[kept] - chosen[0]).astype(owner.dtype)
    images = tuple(table.images[index] for index in chosen)
    return PerImageTable(table.metric, table.prefix, table.settings, table.classes, images, arrays)


def _predictions(record: Record, notes: list[str]) -> SavedPredictions | None:
    folder = record.beside("predictions")
    if folder is None:
        notes.append(
            "No saved predictions: run tools/test.py with --save-predictions DIR, and make the "
            "page again, to see them over the images."
        )
        return None
    try:
        saved = read_predictions(folder)
        colours = [value for colour in saved.palette or () for value in colour]
        if not all(0 <= value <= 255 for value in colours):
            raise ValueError(f"the palette of '{folder}' has values outside 0 to 255.")
        return saved
    except (FileNotFoundError, ValueError, OverflowError) as error:
        notes.append(f"Predictions not drawn: {error}")
        return None


def _predicted(saved: SavedPredictions, item: Worst, notes: list[str]) -> Segments | None:
    try:
        return _segments(saved, saved.find(item.image.id, item.image.path or None))
    except (KeyError, ValueError) as error:
        notes.append(f"Prediction of {item.name} not drawn: {error}")
        return None


def _segments(saved: SavedPredictions, image: SavedImage) -> Segments:
    count = len(saved.classes)
    if "panoptic" in image.parts:
        values = saved.panoptic(image)
        found, index = np.unique(values, return_inverse=True)
        classes = [int(value) % OFFSET for value in found]
        segments: NDArray[np.int32] = index.reshape(values.shape).astype(np.int32)
        segments[(values % OFFSET) >= count] = -1
        things = [label < count and saved.things[label] for label in classes]
        return Segments(segments, classes, things)
    if "semantic" in image.parts:
        return from_labels(saved.semantic(image), count)
    instances = saved.instances(image)
    shown: NDArray[np.int32] = np.full(image.size, -1, dtype=np.int32)
    labels: list[int] = []
    # The most certain ones are drawn last, over the others.
    for position in np.argsort(instances.scores, kind="stable"):
        if instances.scores[position] >= _MIN_SCORE:
            shown[instances.mask(int(position))] = len(labels)
            labels.append(int(instances.labels[position]))
    return Segments(shown, labels, [True] * len(labels))


def _truth(record: Record, table: PerImageTable, album: Album) -> Truth:
    data = record.get("data.annotations"), record.get("data.hash"), table.classes, table.images
    return album.truths.setdefault(data, Truth(*data))


def _true(truth: Truth, table: PerImageTable, item: Worst) -> Segments | None:
    areas = table.arrays.get("label")
    return truth.find(item.image, None if areas is None else areas[item.position])


def _painter(
    segments: Segments, classes: tuple[str, ...], colours: dict[str, Colour]
) -> Callable[[], str]:
    def colour(position: int) -> Colour:
        label = segments.labels[position]
        if segments.things[position]:
            return hue(position)
        return colours[classes[label]] if 0 <= label < len(classes) else (128, 128, 128)

    count = len(segments.labels)
    objects = any(segments.things)
    # Stuff around objects is the ground on which they are seen.
    faint = [objects and not thing for thing in segments.things]
    return partial(overlay_uri, segments.index, [colour(i) for i in range(count)], faint)
