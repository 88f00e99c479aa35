"""Images and strokes of a user: files or arrays, and what is said where they do not fit."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnseg.datasets.transforms.decode import decode_image

Given = str | Path | NDArray[Any]


def check_image(image: Given) -> Given:
    """Look at an image before it is read; an array loses its alpha, the fourth channel.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an array without numbers.
    """
    if isinstance(image, (str, Path)):
        _need_file(image, f"image '{image}'")
        return image
    pixels = _as_numbers(image, "the image")
    if pixels.dtype.kind == "f" and pixels.size and np.isnan(pixels).all():
        raise ValueError("the image holds no numbers, only NaN.")
    return pixels[..., :3] if pixels.ndim == 3 and pixels.shape[2] == 4 else pixels


def read_mask(given: Given, size: tuple[int, int], name: str, image: str) -> NDArray[np.uint8]:
    """Read a mask as 0 and 1, (H, W); colours count where any channel but alpha is not 0.

    Where a picture is drawn on a transparent ground, what is opaque counts. Arrays are read as
    files are: the last of 2 or 4 channels is alpha.

    Args:
        given: path of an image file, or array (H, W) or (H, W, C).
        size: height and width that it must have.
        name: what it is, for messages.
        image: the image that it belongs to, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image, holds NaN, or is of another size.
    """
    where = f"{name} '{given}'" if isinstance(given, (str, Path)) else name
    if isinstance(given, (str, Path)):
        path = _need_file(given, where)
        try:
            decoded = decode_image(path.read_bytes(), str(path), labels=True)
        except ValueError as error:
            raise ValueError(fault_of(error, path, where)) from error
        pixels, alpha = decoded.img, decoded.alpha
    else:
        pixels = _as_numbers(given, where)
        alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise ValueError(f"{where} holds NaN: give 0 where nothing is painted.")
    if alpha:
        opaque = pixels[..., -1:]
        pixels = pixels[..., :-1] if opaque.all() else opaque
    if pixels.ndim == 3:
        pixels = pixels.any(axis=2)
    if pixels.shape != tuple(size):
        raise ValueError(
            f"{where} is of size {_size(pixels.shape)}, but {image} of {_size(size)} (height x "
            "width): paint on the image at its own size."
        )
    return (pixels != 0).astype(np.uint8)


def fault_of(error: ValueError, path: str | Path, name: str) -> str:
    """What is wrong with a file that was not read, without advice for those who train.

    Args:
        error: of LoadImage or decode_image.
        path: of the file.
        name: takes the place of the path.
    """
    text = str(error).replace(f"image '{path}'", name).partition(". Restore the file")[0]
    channels = re.search(r"has (\d+) channels, LoadImage", text)
    if channels:
        return (
            f"{name} has {channels[1]} channels: 1 (gray) or 3 (colour) are needed. If they are "
            "planes of a TIFF, it must say so (axes ZYX or TYX, as ImageJ writes them)."
        )
    return f"{text.rstrip('.')}."


def _need_file(path: str | Path, name: str) -> Path:
    # Unlike Path.is_file, false too where the name is too long or holds a null byte.
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{name} does not exist (looked from {Path.cwd()}).")
    return Path(path)


def _as_numbers(given: Any, name: str) -> NDArray[Any]:
    pixels = np.asarray(given)
    if pixels.dtype.kind not in "biuf":
        raise ValueError(f"{name} is {type(given).__name__}: a path or an array is needed.")
    return pixels


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
