"""A sheet of pictures: random images beside the same with their labels drawn over them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from attnseg.apis.picture import distinct_colour, save_figure
from attnseg.coco_files import read_segment_ids
from attnseg.datasets.transforms.image import LoadImage, to_bytes
from attnseg.datasets.transforms.object_mask import decode_segmentation
from attnseg.engine.config_hash import type_name
from attnseg.engine.display import to_rgb

from .contents import Contents, Entry
from .semantic_maps import as_label
from .sets import INSTANCES, PANOPTIC

Picture = NDArray[np.uint8]
_SIDE = 560  # pixels of the longer side of a picture
_NAMED = 12  # objects or fewer have their boxes drawn; of several classes, so many are named
_DEEP = 7  # pixels to the edge, below which there is no room for a name
_CLASSES = 5  # named below a picture
_FILL, _STRIPE = 0.45, 8
_NAME_STYLE: dict[str, Any] = {
    **{"fontsize": 5.5, "ha": "center", "va": "center", "color": "white", "clip_on": True},
    "bbox": {"facecolor": "black", "alpha": 0.65, "lw": 0, "pad": 1},
}


class Sample(NamedTuple):
    """An image of the sheet and its objects, whatever became of the rest."""

    contents: Contents
    entry: Entry
    objects: list[Mapping[str, Any]]


class Label(NamedTuple):
    """A region to draw."""

    mask: NDArray[np.bool_]
    name: str
    colour: tuple[float, ...]
    crowd: bool = False
    box: list[float] | None = None


def draw_sheet(samples: list[Sample], path: Path) -> Path:
    """Write a PNG file with each sample as it is and with its labels, atomically."""
    columns = min(2, len(samples))
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(7.2 * columns, 3.15 * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, sample in zip(axes, samples, strict=False):
        source, entry = sample.contents.source, sample.entry
        try:
            picture, names, text = _draw(sample)
        except (ValueError, OSError) as error:
            text = f"cannot be shown: {error}"[:90]
        else:
            axis.imshow(picture, interpolation="nearest")
            for name, x, y in names:
                axis.text(x, y, name, **_NAME_STYLE)
        title = f"{source.name}: {entry.name}"
        axis.set_title(f"{title[-70:]}\n{text}", fontsize=7.5, loc="left")
    figure.tight_layout(pad=0.5, h_pad=0.9, w_pad=0.9)
    return save_figure(figure, path, dpi=150)


def _draw(sample: Sample) -> tuple[Picture, list[tuple[str, float, float]], str]:
    """The two pictures side by side, names with their places, and the line above."""
    image = _load(sample)
    scale = _SIDE / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    shown = cv2.resize(image, size, interpolation=how)
    labels = list(_labels(sample, image.shape[:2]))
    overlay, places = shown.copy(), []
    few = len(labels) <= _NAMED
    names = _NAMED if few or len({label.name for label in labels}) > 2 else 0
    largest_first = sorted(labels, key=lambda item: -int(item.mask.sum()))
    for number, label in enumerate(largest_first):
        mask = cv2.resize(label.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        _paint(overlay, mask, label, few, scale)
        place = _place(mask) if number < names else None
        if place is not None:
            places.append((label.name + " (crowd)" * label.crowd, place[0], place[1]))
    gap = np.full((size[1], 8, 3), 255, np.uint8)
    places = [(name, x + size[0] + 8, y) for name, x, y in places]
    counts = Counter(label.name for label in labels)
    words = [f"{name} {n}" if n > 1 else name for name, n in counts.most_common(_CLASSES)]
    words += ["..."] if len(counts) > _CLASSES else []
    text = f"{image.shape[1]} x {image.shape[0]}; {', '.join(words) or 'no label'}"
    return np.concatenate([shown, gap, overlay], axis=1), places, text


def _load(sample: Sample) -> Picture:
    loader = sample.contents.source.loader or {}
    arguments = {}
    if type_name(loader) == "LoadImage":
        arguments = {k: v for k, v in loader.items() if k not in ("type", "_scope_")}
    loaded = LoadImage(**{**arguments, "check_sizes": False})
    image = loaded.transform({"img_path": sample.entry.path})["img"]
    return to_rgb(to_bytes(image), bgr=True)


def _paint(overlay: Picture, mask: Picture, label: Label, boxed: bool, scale: float) -> None:
    colour = np.array(label.colour) * 255
    inside = mask.astype(bool)
    if label.crowd:
        rows, columns = np.indices(mask.shape)
        inside &= (rows + columns) // _STRIPE % 2 == 0
    overlay[inside] = ((1 - _FILL) * overlay[inside] + _FILL * colour).astype(np.uint8)
    lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(overlay, lines, -1, colour.tolist(), 2)
    if boxed and label.box is not None:
        x, y, width, height = (value * scale for value in label.box)
        corners = (round(x), round(y)), (round(x + width), round(y + height))
        cv2.rectangle(overlay, *corners, (255, 255, 255), 1)


def _place(mask: Picture) -> tuple[float, float] | None:
    """The pixel of a mask that is farthest from its edge; None where a name would hide it."""
    depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(x), float(y)) if depth[y, x] >= _DEEP else None


def _labels(sample: Sample, size: tuple[int, int]) -> Iterator[Label]:
    form = sample.contents.source.form
    if form == INSTANCES:
        return _of_instances(sample, size)
    return _of_segments(sample) if form == PANOPTIC else _of_map(sample)


def _names(sample: Sample) -> dict[Any, str]:
    return {category["id"]: category["name"] for category in sample.contents.categories}


def _of_instances(sample: Sample, size: tuple[int, int]) -> Iterator[Label]:
    names = _names(sample)
    for number, ann in enumerate(sample.objects):
        mask = ann.get("segmentation")
        if isinstance(mask, list):
            mask = [list(polygon) for polygon in mask]
        try:
            pixels = decode_segmentation(mask, size, f"annotation {ann.get('id')}")
        except ValueError:
            continue  # reported among the findings
        box = ann.get("bbox")
        yield Label(
            pixels.astype(bool),
            names[ann["category_id"]],
            distinct_colour(number),
            ann.get("iscrowd") == 1,
            box if isinstance(box, list) and len(box) == 4 else None,
        )


def _of_segments(sample: Sample) -> Iterator[Label]:
    if sample.entry.map_path is None:
        return
    ids, names = read_segment_ids(sample.entry.map_path), _names(sample)
    things = {c["id"] for c in sample.contents.categories if c.get("isthing", 1)}
    for number, part in enumerate(sample.objects):
        mask, category = ids == part["id"], part["category_id"]
        if category not in names or not mask.any():
            continue
        # Ground of one class has one colour on the whole sheet, each object its own.
        ground = distinct_colour(list(names).index(category), 0.7, 0.35)
        colour = distinct_colour(number) if category in things else ground
        yield Label(mask, names[category], colour, part.get("iscrowd") == 1)


def _of_map(sample: Sample) -> Iterator[Label]:
    if sample.entry.map_path is None:
        return
    with Image.open(sample.entry.map_path) as file:
        values = np.asarray(file)
    classes, dataset = sample.contents.classes, sample.contents.source.dataset
    for value in np.unique(values).tolist():
        label = as_label(value, dataset)
        if 0 <= label < len(classes) and label != dataset.ignore_index:
            yield Label(values == value, classes[label], distinct_colour(label))
