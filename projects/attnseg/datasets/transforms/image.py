"""Loading of images of any depth and number of channels."""

import io
from typing import Any

import cv2
import numpy as np
import tifffile
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from numpy.typing import NDArray

from ...registry import TRANSFORMS
from .check import check_files

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Load ``img_path`` as (H, W, C), with clear errors and without silent truncation.

    8-bit images stay uint8 in 0..255, colour in BGR as OpenCV gives it (so ``bgr_to_rgb=True``
    in the data preprocessor, as usual). Images of 16 bits and more, and float images, are
    stretched so that the given percentiles become 0 and 255, and are float32; values outside are
    clipped. TIFF may have any number of channels or pages (a page is a channel).

    Args:
        channels: Channels of the result. 3 repeats gray and drops alpha; 1 turns colour to gray;
            another number must be what the file has; None keeps what the file has, but alpha.
        percentiles: Low and high, in percent, that become 0 and 255 in deep images.
        per_channel: Stretch each channel by its own percentiles (fluorescence channels) rather
            than all by the same (colour).
        to_float32: Turn 8-bit images to float32 too.
        check_sizes: Compare the image with the size that the annotation file gives, with the
            masks and with the segmentation map (its header only).

    Raises:
        FileNotFoundError: Naming the image, if it is missing.
        ValueError: Naming the image, if it cannot be decoded, has other channels, or its size
            is not that of its annotations.
    """

    def __init__(
        self,
        channels: int | None = 3,
        percentiles: tuple[float, float] = (0.1, 99.9),
        per_channel: bool = False,
        to_float32: bool = False,
        check_sizes: bool = True,
    ) -> None:
        if not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise ValueError(f"percentiles must rise within 0..100, got {percentiles}.")
        self.channels = channels
        self.percentiles = percentiles
        self.per_channel = per_channel
        self.to_float32 = to_float32
        self.check_sizes = check_sizes

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img`` (H, W, C), ``img_shape`` and ``ori_shape``, both (H, W)."""
        path = results["img_path"]
        try:
            data = get(path)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise FileNotFoundError(
                f"image '{path}' does not exist: the annotations name it, but it is not in the "
                "image folder (config keys data_root and data_prefix)."
            ) from error
        img = to_channels(decode_image(data, path), self.channels, path)
        if img.dtype != np.uint8:
            img = stretch(img, self.percentiles, self.per_channel)
        elif self.to_float32:
            img = img.astype(np.float32)
        if self.check_sizes:
            check_files(results, img.shape[:2])
        results["img"] = np.ascontiguousarray(img)
        results["img_shape"] = results["ori_shape"] = img.shape[:2]
        return results


def decode_image(data: bytes, path: str) -> NDArray[Any]:
    """Decode the bytes of an image file to (H, W, C) in the depth of the file, BGR.

    Raises:
        ValueError: Naming the file, if the bytes are no whole image.
    """
    try:
        if data[:4] in _TIFF_MAGIC:
            return _decode_tiff(data)
        img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, tifffile.TiffFileError, ValueError) as error:
        raise _cannot_decode(data, path, f" ({error})") from error
    if img is None:
        raise _cannot_decode(data, path)
    return img if img.ndim == 3 else img[..., None]


def _cannot_decode(data: bytes, path: str, reason: str = "") -> ValueError:
    state = "it is empty" if not data else f"its {len(data)} bytes are damaged or no image{reason}"
    return ValueError(
        f"image '{path}' cannot be decoded: {state}. Restore the file, or remove the image from "
        "the annotations."
    )


def _decode_tiff(data: bytes) -> NDArray[Any]:
    # OpenCV reads only the first page, and at most 4 channels, of which it silently drops some.
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series = file.series[0]
        axes = series.axes
        rgb = file.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
        try:
            img = series.asarray()
        except ValueError:
            # Without its optional codecs tifffile cannot read LZW, which OpenCV can.
            return _decode_tiff_pages(data, int(np.prod(series.shape)))
    rows, columns = axes.index("Y"), axes.index("X")
    img = np.moveaxis(img, (rows, columns), (0, 1))
    img = img.reshape(*img.shape[:2], -1)
    if rgb and img.shape[2] in (3, 4):
        img = img[..., [2, 1, 0, 3][: img.shape[2]]]
    return img


def _decode_tiff_pages(data: bytes, size: int) -> NDArray[Any]:
    whole, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if not whole or sum(page.size for page in pages) != size:
        raise ValueError("this compression with these channels needs: pip install imagecodecs")
    return np.dstack(pages)


def to_channels(img: NDArray[Any], channels: int | None, path: str) -> NDArray[Any]:
    """Bring (H, W, C) to the wanted channels, as :class:`LoadImage` says.

    Raises:
        ValueError: Naming the file, its channels and those wanted.
    """
    found = img.shape[2]
    if channels is None:
        alpha = found == 4 and not path.lower().endswith((".tif", ".tiff"))
        return img[..., :3] if alpha else img
    if found == channels:
        return img
    if channels == 3 and found == 1:
        return np.repeat(img, 3, axis=2)
    if channels == 3 and found == 4:
        return img[..., :3]
    if channels == 1 and found in (3, 4):
        blue, green, red = (img[..., i].astype(np.float32) for i in range(3))
        gray = 0.114 * blue + 0.587 * green + 0.299 * red
        return (np.rint(gray) if img.dtype.kind in "ui" else gray).astype(img.dtype)[..., None]
    raise ValueError(
        f"image '{path}' has {found} channels, LoadImage(channels={channels}) cannot make "
        f"{channels} of them: set channels={found} (and in_channels of the model), or None."
    )


def stretch(
    img: NDArray[Any], percentiles: tuple[float, float], per_channel: bool
) -> NDArray[np.float32]:
    """Stretch values so that two percentiles become 0 and 255; NaN becomes 0.

    Args:
        img: (H, W, C) of any number type.
        percentiles: Low and high, in percent.
        per_channel: Percentiles of each channel alone.

    Returns:
        (H, W, C) within 0..255; all 0 where the image is constant.
    """
    values = img.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).all():
        return np.zeros(values.shape, np.float32)
    axis = (0, 1) if per_channel else None
    low, high = np.nanpercentile(values, percentiles, axis=axis, keepdims=True)
    scale = np.where(high > low, 255 / np.maximum(high - low, np.finfo(np.float32).tiny), 0)
    return np.nan_to_num(np.clip((values - low) * scale, 0, 255)).astype(np.float32)
