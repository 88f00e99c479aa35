"""Maps of whole numbers as other programs write them: labels of instances or of classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from attnseg.coco_files import decode_image
from attnseg.errors import InputError


def read_label_map(file: Path, size: tuple[int, int]) -> NDArray[np.int64]:
    """Read a map of whole numbers (H, W) from TIFF, PNG or NPY.

    Raises:
        InputError: It is damaged, pickled, not a single channel, or not of the size of the image.
    """
    try:
        if file.suffix.lower() == ".npy":
            pixels = np.load(file, allow_pickle=False)
        elif file.suffix.lower() == ".png":
            pixels = _read_png(file, size)
        else:
            pixels = tifffile.imread(file)
    except InputError:
        raise
    except Exception as error:  # each of the decoders raises its own
        hint = ""
        if file.suffix.lower() == ".npy" and "pickle" in str(error):
            hint = " Pickled files may run code and are not read: save the masks as TIFF or PNG."
        raise InputError(f"'{file}' cannot be read ({error}).{hint}") from error
    if not np.issubdtype(pixels.dtype, np.integer) or pixels.ndim != 2:
        raise InputError(
            f"'{file}' has shape {pixels.shape} and type {pixels.dtype}: whole numbers (H, W) are "
            "needed."
        )
    if pixels.shape != size:
        raise InputError(size_text(f"'{file}'", pixels.shape, size))
    return pixels.astype(np.int64)


def _read_png(file: Path, size: tuple[int, int]) -> NDArray[Any]:
    """Values as stored: of a palette the numbers, of one bit 0 and 1, which OpenCV makes 255."""

    def check(image: Image.Image) -> None:
        if image.size[::-1] != size:
            raise InputError(size_text(f"'{file}'", image.size[::-1], size))

    pixels = decode_image(file.read_bytes(), check)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def size_text(what: str, found: Sequence[int], size: Sequence[int]) -> str:
    """Say that a result is not of the size (H, W) of its image."""
    return (
        f"{what} has size (H, W) = {tuple(found)}, the image has {tuple(size)}: results must be at "
        "the original size."
    )
