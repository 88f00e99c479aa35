"""Small pictures as data URIs: images, and segments drawn over them."""

import base64
import colorsys
import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 320
_GOLDEN = 0.618033988749895
_ALPHA, _EDGE_ALPHA, _FAINT_ALPHA = 150, 255, 48
Colour = tuple[int, int, int]
# Damaged files make Pillow raise more than OSError: its TIFF reader unpacks what it finds.
_DAMAGED = (SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)


def read_image(path: str | Path) -> Image.Image:
    """Decode an image file.

    Raises:
        FileNotFoundError: If the file no longer exists.
        ValueError: If it cannot be decoded; names it.
    """
    try:
        with Image.open(path) as file:
            file.load()
            return file
    except FileNotFoundError as error:
        raise FileNotFoundError(f"'{path}' does not exist any more") from error
    except (OSError, *_DAMAGED) as error:
        raise ValueError(f"'{path}' cannot be decoded ({error})") from error


def image_uri(path: str | Path, side: int = SIDE) -> str:
    """An image file as a small JPEG; 16-bit images are stretched to their range.

    Errors as of `read_image`.
    """
    image = _eight_bits(read_image(path))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(image, "JPEG", quality=82, optimize=True)


def overlay_uri(
    segments: NDArray[np.integer],
    colours: Sequence[Colour],
    faint: Sequence[bool] = (),
    side: int = SIDE,
) -> str:
    """Segments as a transparent PNG, each with an opaque edge.

    Args:
        segments: Positions in the colours (H, W); -1 where nothing is drawn.
        colours: One of each segment.
        faint: Whether a segment is drawn so that much of the image shows; none by default.
        side: Longest side of the result.
    """
    small = _nearest(segments, side)
    edges = np.zeros(small.shape, dtype=bool)
    edges[:, :-1] |= small[:, :-1] != small[:, 1:]
    edges[:-1] |= small[:-1] != small[1:]
    table = np.array([*colours, (0, 0, 0)], dtype=np.uint8).reshape(-1, 3)
    alpha = np.full(len(table), _ALPHA, dtype=np.uint8)
    alpha[: len(faint)][np.asarray(faint, dtype=bool)] = _FAINT_ALPHA
    strong = edges & (alpha[small] != _FAINT_ALPHA)
    pixels = np.dstack([table[small], np.where(strong, np.uint8(_EDGE_ALPHA), alpha[small])])
    pixels[small < 0] = 0
    return _uri(Image.fromarray(pixels, "RGBA"), "PNG", optimize=True)


def class_colours(
    classes: Sequence[str], palette: Sequence[Colour] | None = None
) -> dict[str, Colour]:
    """A colour of each class: the data set's, else hues that are far apart."""
    if palette is not None and len(palette) == len(classes):
        return {name: _as_colour(colour) for name, colour in zip(classes, palette, strict=True)}
    return {name: hue(index) for index, name in enumerate(classes)}


def hue(index: int, value: float = 0.95) -> Colour:
    """The index-th of a sequence of hues in which neighbours differ much."""
    rgb = colorsys.hsv_to_rgb((0.58 + index * _GOLDEN) % 1.0, 0.75, value)
    return _as_colour([round(255 * channel) for channel in rgb])


def _as_colour(values: Sequence[int]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _nearest(segments: NDArray[np.integer], side: int) -> NDArray[np.integer]:
    height, width = segments.shape
    factor = min(1.0, side / max(height, width))
    rows, columns = (max(1, round(size * factor)) for size in (height, width))
    at_row = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    at_column = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    return segments[at_row[:, None], at_column]


def _eight_bits(file: Image.Image) -> Image.Image:
    if file.mode.startswith(("I", "F")):
        pixels = np.asarray(file, dtype=np.float64)
        low, high = np.nanmin(pixels), np.nanmax(pixels)
        pixels = np.nan_to_num((pixels - low) / max(high - low, 1e-12)) * 255
        return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")
    return file.convert("RGB")


def _uri(image: Image.Image, form: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{form.lower()};base64,{data}"
