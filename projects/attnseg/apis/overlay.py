"""A segmentation drawn over its image."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from attnseg.apis.picture import Image, colour_classes, distinct_colour
from attnseg.apis.segmentation import Segmentation

Point = tuple[int, int]
_LONG_SIDE = 480  # pixels, below which pictures are enlarged
_OPACITY = 0.5
_ROW, _SWATCH, _MARGIN, _TEXT = 22, 14, 6, 13
_MOST_LABELS = 50


def draw_overlay(result: Segmentation) -> Image:
    """Draw what was found over the image.

    The picture is the image, enlarged by a whole number where its longer side has fewer than 480
    pixels. A panoptic map is drawn if there is one, else the objects, else the classes. Each
    object has a colour of its own and an outline; where the model has several classes and
    finds at most 50 objects, their names and scores stand upon them. Classes that cover areas are
    named in a legend below.

    Returns:
        RGB (H, W, 3).

    Raises:
        ValueError: The image could not be done.
    """
    if result.error is not None:
        raise ValueError(f"'{result.name}' was not segmented: {result.error}")
    scale = max(1, -(-_LONG_SIDE // max(result.size)))
    size = result.size[1] * scale, result.size[0] * scale
    picture = cv2.resize(result.image, size, interpolation=cv2.INTER_CUBIC)
    if result.panoptic is not None:
        return _draw_panoptic(picture, result, scale)
    if result.instances is not None:
        return _draw_instances(picture, result, scale)
    return _draw_classes(picture, result, scale)


def _draw_classes(picture: Image, result: Segmentation, scale: int) -> Image:
    count, labels = len(result.classes), result.semantic
    colours = _enlarged(colour_classes(labels, count), scale)
    named = _enlarged((labels < count).astype(np.uint8), scale) > 0
    picture = np.where(named[..., None], _blend(picture, colours), picture)
    present = [label for label in np.unique(labels).tolist() if label < count]
    return _with_legend(picture, present, result.classes)


def _draw_panoptic(picture: Image, result: Segmentation, scale: int) -> Image:
    ids, segments = _enlarged(result.panoptic, scale), result.segments or ()
    count = len(result.classes)
    table = colour_classes(np.arange(count), count)
    things = [segment for segment in segments if segment.is_thing]
    colours = np.zeros_like(picture)
    for segment in segments:
        if not segment.is_thing:
            colours[ids == segment.id] = table[segment.label]
    picture = np.where((ids > 0)[..., None], _blend(picture, colours), picture)
    # Under the things there is nothing yet but the image, darkened.
    parts = [_part(result.panoptic == segment.id, scale) for segment in things]
    for number, (mask, (x, y)) in enumerate(parts):
        window = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
        colour = np.array(_colour(number))
        window[mask] = np.clip(window[mask] + colour * _OPACITY, 0, 255).astype(np.uint8)
        _outline(picture, mask, (x, y), _colour(number))
    places = [
        (_middle(*part), segment.class_name) for part, segment in zip(parts, things, strict=True)
    ]
    picture = _with_texts(picture, places if len(things) <= _MOST_LABELS else [])
    stuff = sorted({segment.label for segment in segments if not segment.is_thing})
    return _with_legend(picture, stuff, result.classes)


def _draw_instances(picture: Image, result: Segmentation, scale: int) -> Image:
    found = result.instances or ()
    named = len(result.classes) > 1 and len(found) <= _MOST_LABELS
    places = []
    # The best is drawn last, over those that it covers.
    for number, instance in reversed(list(enumerate(found))):
        mask, (x, y) = _part(instance.mask, scale)
        window = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
        window[mask] = _blend(window[mask], np.array(_colour(number)))
        _outline(picture, mask, (x, y), _colour(number))
        if named:
            text = f"{instance.class_name} {instance.score:.2f}"
            places.append((_middle(mask, (x, y)), text))
    return _with_texts(picture, places)


def _part(mask: NDArray[np.bool_], scale: int) -> tuple[NDArray[np.bool_], Point]:
    """The box of a mask that is not empty, enlarged, and its upper left corner in the picture."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    part = mask[y : y + height, x : x + width]
    return _enlarged(part, scale), (x * scale, y * scale)


def _enlarged(values: NDArray[Any], scale: int) -> NDArray[Any]:
    return values.repeat(scale, axis=0).repeat(scale, axis=1)


def _blend(picture: Image, colours: NDArray[Any]) -> Image:
    return np.rint(picture * (1 - _OPACITY) + colours * _OPACITY).astype(np.uint8)


def _colour(number: int) -> tuple[int, ...]:
    return tuple(int(255 * v) for v in distinct_colour(number))


def _outline(
    picture: Image, mask: NDArray[np.bool_], corner: Point, colour: tuple[int, ...]
) -> None:
    lines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=corner
    )
    cv2.drawContours(picture, lines, -1, colour, 1)


def _middle(mask: NDArray[np.bool_], corner: Point) -> Point:
    """The pixel of a mask, (x, y), that lies deepest in it."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x) - 1 + corner[0], int(y) - 1 + corner[1]


def _with_texts(picture: Image, places: list[tuple[Point, str]]) -> Image:
    if not places:
        return picture
    canvas = PillowImage.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for (x, y), text in places:
        half = draw.textlength(text, font=_font()) / 2
        x = min(max(x, half), max(half, canvas.width - half))
        y = min(max(y, _TEXT / 2), max(_TEXT / 2, canvas.height - _TEXT / 2))
        draw.text((x, y), text, "white", _font(), anchor="mm", stroke_width=2, stroke_fill="black")
    return np.asarray(canvas)


def _with_legend(picture: Image, labels: list[int], classes: tuple[str, ...]) -> Image:
    """A picture with a strip below that has colour and name of each class."""
    if not labels:
        return picture
    table = colour_classes(np.arange(len(classes)), len(classes))
    entries = [
        (label, _SWATCH + 3 * _MARGIN + _font().getlength(classes[label])) for label in labels
    ]
    width = max(picture.shape[1], *(int(length) + 1 for _, length in entries))
    rows: list[list[tuple[int, float]]] = [[]]
    for entry in entries:
        if rows[-1] and sum(length for _, length in rows[-1]) + entry[1] > width:
            rows.append([])
        rows[-1].append(entry)
    canvas = PillowImage.new("RGB", (width, picture.shape[0] + _ROW * len(rows)), "white")
    canvas.paste(PillowImage.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, row in enumerate(rows):
        x, y = 0.0, picture.shape[0] + _ROW * number + _ROW / 2
        for label, length in row:
            box = (x + _MARGIN, y - _SWATCH / 2, x + _MARGIN + _SWATCH, y + _SWATCH / 2)
            draw.rectangle(box, tuple(table[label].tolist()), "gray")
            draw.text((box[2] + _MARGIN, y), classes[label], "black", _font(), anchor="lm")
            x += length
    return np.asarray(canvas)


@cache
def _font() -> ImageFont.FreeTypeFont:
    # Pillow's own has few letters beside Latin ones; matplotlib brings this one along.
    return ImageFont.truetype(findfont("DejaVu Sans"), _TEXT)
