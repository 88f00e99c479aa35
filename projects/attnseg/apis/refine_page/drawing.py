"""What has been painted on an image and what became of it; knows nothing of the page."""

import io
import json
import math
import secrets
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle_tools

from attnseg.apis.refine_inputs import fault_of
from attnseg.datasets import LoadImage
from attnseg.datasets.transforms.decode import is_tiff
from attnseg.datasets.transforms.image import to_bytes

Mask = NDArray[np.bool_]
Refine = Callable[..., Mask]

MAX_SIDE = 2048
"""Longest side in pixels that is worked on, unless the page is told otherwise."""

MAX_PIXELS = 175_000_000
"""Files of more pixels, all planes together, are not opened; a little below Pillow's own limit."""

MAX_STEPS = 200
"""So many strokes can be undone."""


@dataclass(frozen=True)
class Step:
    """What there is after a stroke: masks (H, W), packed to bits and compressed.

    Attributes:
        mask: what the model made of it.
        add: all corrections that add, less what was erased later.
        remove: all corrections that erase, less what was painted later.
    """

    mask: bytes
    add: bytes
    remove: bytes


@dataclass(frozen=True)
class Drawing:
    """An image and what there is after each stroke on it; never changed in place.

    Attributes:
        image: (H, W, 3) uint8 in BGR, at the size that is worked on.
        size: height and width of the file.
        name: stem of the file.
        steps: one for each stroke, the last `MAX_STEPS` of them.
        forgotten: whether there were more.
        key: tells it from what else was opened, be it the same file.
    """

    image: NDArray[np.uint8]
    size: tuple[int, int]
    name: str
    steps: tuple[Step, ...] = ()
    forgotten: bool = False
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def mask(self) -> Mask | None:
        """The mask (H, W) so far; None before the first stroke."""
        return self._unpacked(self.steps[-1].mask) if self.steps else None

    @property
    def reduced(self) -> bool:
        """Whether the image is smaller here than in its file."""
        return self.image.shape[:2] != self.size

    def painted(
        self, refine: Refine, points: Sequence[Sequence[float]], radius: float, erase: bool
    ) -> "Drawing":
        """Refine what a stroke makes of the mask.

        The first stroke is the rough mask. Later ones correct: the model is given its last mask
        and all corrections so far, as in its training.

        Args:
            refine: called as :class:`~attnseg.apis.refiner.MaskRefiner`.
            points: x, y along the stroke in pixels of `image`; may lie outside.
            radius: of the brush in pixels of `image`.
            erase: whether the stroke takes away.

        Raises:
            ValueError: the stroke misses the image, there is nothing to erase, or the model finds
                nothing.
        """
        stroke = paint_stroke(self.image.shape[:2], points, radius)
        if not stroke.any():
            raise ValueError("The stroke is empty: it lies outside the image. Paint on the object.")
        before = self.mask
        add = remove = np.zeros(stroke.shape, bool)
        if before is None:
            if erase:
                raise ValueError("There is nothing to erase yet: paint over the object first.")
            after = refine(self.image, stroke)
        else:
            add, remove = map(self._unpacked, (self.steps[-1].add, self.steps[-1].remove))
            add = add & ~stroke if erase else add | stroke
            remove = remove | stroke if erase else remove & ~stroke
            _check_erased(before, stroke, erase)
            after = refine(self.image, before, add=add, remove=remove)
        if not after.any():
            raise ValueError(
                "The model finds no object under this stroke; nothing was changed. Cover more of "
                "the object, or take a larger brush."
            )
        step = Step(
            *(zlib.compress(np.packbits(part).tobytes(), 1) for part in (after, add, remove))
        )
        steps = (*self.steps, step)
        forgotten = self.forgotten or len(steps) > MAX_STEPS
        return replace(self, steps=steps[-MAX_STEPS:], forgotten=forgotten)

    def undone(self) -> "Drawing":
        """Without the last stroke.

        Raises:
            ValueError: there is none, or none more is known.
        """
        if not self.steps:
            raise ValueError("There is no stroke to undo.")
        if self.forgotten and len(self.steps) == 1:
            raise ValueError(
                f"Only the last {MAX_STEPS} strokes can be undone. Clear takes back all of them."
            )
        return replace(self, steps=self.steps[:-1])

    def cleared(self) -> "Drawing":
        """Without any stroke."""
        return replace(self, steps=(), forgotten=False)

    def _unpacked(self, bits: bytes) -> Mask:
        height, width = self.image.shape[:2]
        pixels = np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=height * width)
        return pixels.reshape(height, width).astype(bool)

    def full_mask(self) -> NDArray[np.uint8]:
        """The mask at the size of the file, 0 and 1.

        Raises:
            ValueError: nothing has been painted.
        """
        mask = self.mask
        if mask is None:
            raise ValueError("There is no mask yet: paint over the object first.")
        height, width = self.size
        soft = mask.astype(np.float32)
        if self.reduced:
            soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
        return (soft > 0.5).astype(np.uint8)

    def png(self) -> bytes:
        """The mask at the size of the file as PNG of 0 and 255. Errors as of `full_mask`."""
        return encode_png(self.full_mask() * np.uint8(255))

    def rle(self) -> bytes:
        """The mask at the size of the file as json: COCO's segmentation, area and bbox.

        Errors as of `full_mask`.
        """
        rle = rle_tools.encode(np.asfortranarray(self.full_mask()))
        content = {
            "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
            "area": int(rle_tools.area(rle)),
            "bbox": rle_tools.toBbox(rle).tolist(),
        }
        return (json.dumps(content) + "\n").encode()


def _check_erased(before: Mask, stroke: Mask, erase: bool) -> None:
    if erase and not (before & stroke).any():
        raise ValueError("There is nothing to erase here: the stroke misses the mask.")
    if erase and not (before & ~stroke).any():
        raise ValueError("Nothing would be left of the mask: use Clear to begin anew.")


def open_drawing(path: str | Path, max_side: int = MAX_SIDE) -> Drawing:
    """Read an image file, and reduce it where a side is longer than ``max_side`` pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image that can be read, or a huge one; names the file without folder.
    """
    path = Path(path)
    _check_pixels(path)
    try:
        loaded: dict[str, Any] = LoadImage(stack="middle")({"img_path": str(path)})
    except ValueError as error:
        raise ValueError(fault_of(error, path, f"'{path.name}'")) from error
    image = to_bytes(loaded["img"])
    size = (image.shape[0], image.shape[1])
    scale = max_side / max(size)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in size)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return Drawing(image, size, path.stem)


def _check_pixels(path: Path) -> None:
    """Look at the header alone: a file of a few bytes may hold gigabytes of pixels."""
    with path.open("rb") as file:
        start = file.read(4)
    try:
        if is_tiff(start):
            # Pillow knows neither many channels nor stacks, of which all planes are read.
            with tifffile.TiffFile(path) as tiff:
                series = tiff.series[0]
                count = math.prod(series.shape) // (series.keyframe.samplesperpixel or 1)
        else:
            with Image.open(path) as header:
                count = math.prod(header.size)
    except Image.DecompressionBombError:
        count = MAX_PIXELS + 1
    except Exception as error:  # tifffile fails at damaged bytes in many ways.
        state = "it is empty" if not start else "it is damaged, or no image of a kind known here"
        raise ValueError(
            f"'{path.name}' cannot be decoded: {state} (PNG, JPEG, BMP, TIFF)."
        ) from error
    if count > MAX_PIXELS:
        raise ValueError(
            f"'{path.name}' has too many pixels to be opened here (more than "
            f"{MAX_PIXELS // 1_000_000} million): reduce it, or cut out the part with the object."
        )


def paint_stroke(size: tuple[int, int], points: Sequence[Sequence[float]], radius: float) -> Mask:
    """Pixels (H, W) within ``radius`` of a line through the points; one point gives a disc.

    Args:
        size: height and width.
        points: x, y in pixels; the corner of the image is 0, 0.
        radius: in pixels; a line is never thinner than a pixel.

    Raises:
        ValueError: a value is no finite number.
    """
    line = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if not (np.isfinite(line).all() and np.isfinite(radius)):
        raise ValueError("The stroke has points that are no numbers.")
    mask = np.zeros(size, bool)
    if not len(line):
        return mask
    limit = 4.0 * max(size)
    line = line.clip(-limit, limit)
    radius = min(max(radius, 0.75), limit)
    # A hand moves in many small steps, of which a wide brush shows little.
    slack = max(0.25, radius / 50)
    line = cv2.approxPolyDP(line.astype(np.float32), slack, False)[:, 0].astype(np.float64)
    starts, ends = (line[:-1], line[1:]) if len(line) > 1 else (line, line)
    for start, end in zip(starts, ends, strict=True):
        _paint_segment(mask, start, end, radius)
    return mask


def _paint_segment(
    mask: Mask, start: NDArray[np.float64], end: NDArray[np.float64], radius: float
) -> None:
    """Exact to the pixel's centre; thick lines of cv2 are up to a pixel wider on each side."""
    low = np.floor(np.minimum(start, end) - radius).astype(int).clip(0)
    high = np.ceil(np.maximum(start, end) + radius).astype(int).clip(0, mask.shape[::-1])
    if (high <= low).any():
        return
    x = np.arange(low[0], high[0]) + 0.5 - start[0]
    y = (np.arange(low[1], high[1]) + 0.5 - start[1])[:, None]
    along = end - start
    share = ((x * along[0] + y * along[1]) / max(float(along @ along), 1e-12)).clip(0, 1)
    near = (x - share * along[0]) ** 2 + (y - share * along[1]) ** 2 <= radius**2
    mask[low[1] : high[1], low[0] : high[0]] |= near


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of pixels (H, W), or (H, W, 3 or 4) in RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
