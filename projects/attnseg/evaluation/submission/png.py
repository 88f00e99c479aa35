"""PNG files as bytes: encoded, and decoded with every checksum verified."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attnseg.coco_files import DamagedImage, decode_image


class WrongImage(ValueError):
    """An image that is whole but not what is asked for; ``kind`` says what is."""

    def __init__(self, kind: str, example: str) -> None:
        super().__init__(f"{kind}: {example}")
        self.kind, self.example = kind, example


def png_bytes(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode grey (H, W) or RGB (H, W, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_png(
    data: bytes, name: str, modes: tuple[str, ...], size: tuple[int, int] | None
) -> NDArray[np.generic]:
    """Decode a PNG; its size and mode are looked at first.

    Args:
        data: The file.
        name: Named in errors.
        modes: Pillow's modes that are allowed.
        size: Height and width it must have; None for any.

    Raises:
        WrongImage: If size, mode or file format differ.
        ValueError: If it is damaged; names it.
    """

    def check(image: Image.Image) -> None:
        if image.format != "PNG":
            raise WrongImage("image that is no PNG", f"{name} is {image.format}")
        if size is not None and image.size != (size[1], size[0]):
            raise WrongImage(
                "image of the wrong size (height x width)",
                f"{name} is {image.size[1]}x{image.size[0]}, not {size[0]}x{size[1]}",
            )
        if image.mode not in modes:
            raise WrongImage(
                f"image of the wrong mode ({' or '.join(modes)} is asked for)",
                f"{name} has {image.mode}",
            )

    try:
        return decode_image(data, check)
    except DamagedImage as error:
        raise ValueError(f"'{name}' is {error}") from error
