"""From the bytes of an image file to an array (H, W, C), whatever axes the file has."""

import io
import logging
import sys
import warnings
from typing import Any, NamedTuple

import cv2
import numpy as np
import tifffile
from mmengine.logging import print_log
from numpy.typing import NDArray
from PIL import Image

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_COLOUR = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_STACKS = {"Z": "z-planes", "T": "time points"}
# Files that grow by more when they are decoded, to what fills a memory, are refused.
_RATIO, _LEAST_BOMB = 200, 1 << 30
_SAID: set[str] = set()
BGR = (2, 1, 0, 3)  # RGBA to BGRA and back

Stack = str | int | None


class Decoded(NamedTuple):
    """An image as its file has it.

    Attributes:
        img: (H, W, C).
        colour: Whether it is in BGR, with a fourth channel last if it has one; otherwise channels
            stand in the order of the file.
        alpha: Whether the fourth channel of a colour image is its alpha.
    """

    img: NDArray[Any]
    colour: bool
    alpha: bool


def is_tiff(data: bytes) -> bool:
    """Say whether the first four bytes or more of a file are those of a TIFF, whatever its name."""
    return data[:4] in _TIFF_MAGIC


def decode_image(data: bytes, path: str, stack: Stack = None, labels: bool = False) -> Decoded:
    """Decode the bytes of an image file, in the depth of the file.

    Args:
        data: The whole file.
        path: Name for messages; nothing is opened.
        stack: What becomes of planes of a z-stack or time series, as for
            :class:`~attnseg.datasets.transforms.image.LoadImage`.
        labels: Values are numbers of objects: they are given as stored, also where the file says
            that 0 is white.

    Raises:
        ValueError: Naming the file, if the bytes are no whole image, or it is a stack of several
            planes and ``stack`` does not say which.
    """
    axes, bgr = "YXS", True
    try:
        if is_tiff(data):
            img, axes, colour, alpha, bgr = _decode_tiff(data, path, labels)
        elif _is_bomb(data):
            raise ValueError("its header promises more pixels than so few bytes can hold")
        else:
            img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            colour = alpha = img is not None and img.ndim == 3
    except Exception as error:  # Decoders fail at damaged bytes in more ways than a list can name.
        reason = str(error) or type(error).__name__
        raise _cannot_decode(data, path, f" ({reason})") from error
    if img is None:
        raise _cannot_decode(data, path)
    img = _merge_axes(img, axes, stack, path)
    colour = colour and img.shape[2] in (3, 4)
    img = img if bgr or not colour else img[..., BGR[: img.shape[2]]]
    return Decoded(img, colour, colour and alpha and img.shape[2] == 4)


def _is_bomb(data: bytes) -> bool:
    """Whether an image is above Pillow's limit of pixels, with less than a byte for each 200."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or sys.maxsize)
    if len(data) > limit // _RATIO:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(io.BytesIO(data)).close()
    except Image.DecompressionBombError:
        return True
    except (OSError, SyntaxError, ValueError):
        return False
    return False


def _cannot_decode(data: bytes, path: str, reason: str = "") -> ValueError:
    state = "it is empty" if not data else f"its {len(data)} bytes are damaged or no image{reason}"
    return ValueError(
        f"image '{path}' cannot be decoded: {state}. Restore the file, or remove the image from "
        "the annotations."
    )


def _decode_tiff(
    data: bytes, path: str, labels: bool
) -> tuple[NDArray[Any], str, bool, bool, bool]:
    """Pixels of the first series, its axes, whether it is colour, has alpha, and is BGR."""
    # OpenCV reads only the first page, and at most 4 channels, of which it silently drops some.
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series = file.series[0]
        if len(file.series) > 1:
            size = "x".join(map(str, series.shape))
            _say_once(
                "series",
                f"image '{path}' holds {len(file.series)} series: the first ({size}, axes "
                f"{series.axes}) is read, here and in all files like it.",
            )
        page = file.pages[0]
        colour, bgr = page.photometric in _COLOUR, False
        if series.nbytes > max(_LEAST_BOMB, _RATIO * len(data)):
            raise ValueError("its header promises more pixels than so few bytes can hold")
        alpha = any(extra in _ALPHA for extra in page.extrasamples)
        white = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        try:
            img = series.asarray()
        except ValueError as error:
            # Without its optional codecs tifffile cannot read LZW, which OpenCV can.
            img, bgr = _decode_pages(data, series, error), True
            if white and img.dtype == np.uint8:  # OpenCV has turned these round, and no others
                img = np.iinfo(img.dtype).max - img
    # Bilevel files are left alone: tifffile itself writes them with this tag, not inverted.
    if white and not labels and img.dtype in (np.uint8, np.uint16):
        img = np.iinfo(img.dtype).max - img
    return img, series.axes, colour, alpha, bgr


def _decode_pages(data: bytes, series: tifffile.TiffPageSeries, first: ValueError) -> NDArray[Any]:
    whole, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    numbers = [page.index for page in series.pages if page is not None]
    if whole and max(numbers) < len(pages):
        chosen = [pages[number] for number in numbers]
        # A page that OpenCV reads in part has fewer values than the series says.
        planar = series.axes.endswith("SYX") and series.keyframe.samplesperpixel > 1
        if sum(page.size for page in chosen) == np.prod(series.shape) and not planar:
            return np.stack(chosen).reshape(series.shape)
    raise ValueError(
        f"{first}; if the file is whole, its compression with these channels needs: pip install "
        "imagecodecs"
    ) from first


def _say_once(kind: str, message: str) -> None:
    if kind not in _SAID:
        _SAID.add(kind)
        print_log(message, "current", logging.WARNING)


def _merge_axes(img: NDArray[Any], axes: str, stack: Stack, path: str) -> NDArray[Any]:
    """Bring any axes to (H, W, C): planes as ``stack`` says, all others become channels."""
    if img.ndim == 2:
        return img[..., None]
    for axis, name in _STACKS.items():
        if axis in axes and stack != "channels":
            at = axes.index(axis)
            img = _choose_plane(img, at, axes, stack, f"image '{path}' has {img.shape[at]} {name}")
            axes = axes[:at] + axes[at + 1 :]
    rows, columns = axes.index("Y"), axes.index("X")
    img = np.moveaxis(img, (rows, columns), (0, 1))
    return img.reshape(*img.shape[:2], -1)


def _choose_plane(
    img: NDArray[Any], at: int, axes: str, stack: Stack, finding: str
) -> NDArray[Any]:
    count = img.shape[at]
    if count == 1:
        return img.take(0, at)
    if stack == "max":
        return np.fmax.reduce(img, axis=at)  # ignores NaN
    if stack == "middle":
        return img.take(count // 2, at)
    if isinstance(stack, int) and stack < count:
        return img.take(stack, at)
    size = "x".join(map(str, img.shape))
    raise ValueError(
        f"{finding} ({size}, axes {axes}), LoadImage(stack={stack!r}): these are not channels. "
        f"Set stack to 'max' (projection), 'middle' or a number in 0..{count - 1}; "
        "or to 'channels', if the file only calls its channels so."
    )
