"""Loading of images of any depth and number of channels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from numpy.typing import NDArray

from ...registry import TRANSFORMS
from .check import check_files
from .decode import BGR, Decoded, Stack, decode_image

_MISSING = ("error", "zero", "repeat")
Plan = list[int | None]


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Load ``img_path`` as (H, W, C), with clear errors and without silent truncation.

    Where there is an ``img`` but no path, that array (H, W) or (H, W, C) is treated as if a file
    had it; three channels are BGR.

    8-bit images stay uint8 in 0..255, colour in BGR as OpenCV gives it (so ``bgr_to_rgb=True``
    in the data preprocessor, as usual). Images of 16 bits and more, and float images, are
    stretched so that the given percentiles become 0 and 255, and are float32; values outside are
    clipped. TIFF (also OME and ImageJ) may have any number of channels or unnamed pages (a page
    is a channel); the first series of a file is read, and palettes are not applied.

    Args:
        channels: Channels of the result. 3 repeats gray and drops alpha; 1 turns colour to gray;
            another number must be what the file has; None keeps what the file has, but alpha (in
            TIFF the fourth channel of colours that the file calls alpha).
        percentiles: Low and high, in percent, that become 0 and 255 in deep images.
        per_channel: Stretch each channel by its own percentiles (fluorescence channels) rather
            than all by the same (colour).
        to_float32: Turn 8-bit images to float32 too.
        check_sizes: Compare the image with the size that the annotation file gives, with the
            masks and with the segmentation map (its header only).
        stretch_8bit: Stretch 8-bit images like deep ones (cameras often fill 20..60 of 255).
        select: Channels of the file that make the result, in this order, instead of
            ``channels``. They count from 0 as the file has them, so red is 0 in colour; a channel
            may stand twice, and None is a channel of zeros: ``(2, 0)``, ``(1, None, 0)``.
        missing: What to do with a file of fewer channels than ``channels`` (but gray, of which
            3 are made in any case): ``"error"``, ``"zero"`` to append channels of zeros, or
            ``"repeat"`` to begin anew with the first.
        stack: Planes of a z-stack or time series are no channels: None refuses files with more
            than one, ``"max"`` projects, ``"middle"`` or a number (from 0) takes one plane of
            each such axis, and ``"channels"`` makes them channels.

    Raises:
        FileNotFoundError: Naming the image, if it is missing.
        ValueError: Naming the image, if it cannot be decoded, has other channels or several
            planes, or its size is not that of its annotations.
    """

    def __init__(
        self,
        channels: int | None = 3,
        percentiles: tuple[float, float] = (0.1, 99.9),
        per_channel: bool = False,
        to_float32: bool = False,
        check_sizes: bool = True,
        stretch_8bit: bool = False,
        select: Sequence[int | None] | None = None,
        missing: str = "error",
        stack: Stack = None,
    ) -> None:
        if not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise ValueError(f"percentiles must rise within 0..100, got {percentiles}.")
        if missing not in _MISSING:
            raise ValueError(f"missing must be one of {', '.join(_MISSING)}, got {missing!r}.")
        if not (stack in (None, "max", "middle", "channels") or _is_index(stack)):
            raise ValueError(
                "stack must be None, 'max', 'middle', 'channels' or the number of a plane from 0, "
                f"got {stack!r}."
            )
        if select is not None:
            _check_select(select, channels)
        self.channels = channels
        self.percentiles = percentiles
        self.per_channel = per_channel
        self.to_float32 = to_float32
        self.check_sizes = check_sizes
        self.stretch_8bit = stretch_8bit
        self.select = None if select is None else tuple(select)
        self.missing = missing
        self.stack = stack

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img`` (H, W, C), ``img_shape`` and ``ori_shape``, both (H, W)."""
        from_array = results.get("img_path") is None and "img" in results
        if from_array:
            path = "given as array"
            img, colour, alpha = _as_decoded(results["img"])
        else:
            path = results["img_path"]
            img, colour, alpha = decode_image(_read(path), path, self.stack)
        if self.select is None and self.channels == 1 and colour:
            img, plan = to_gray(img), [0]
        else:
            plan = self._plan(img.shape[2], colour, alpha, path)
        used = sorted({i for i in plan if i is not None})
        if used != list(range(img.shape[2])):
            img = img[..., used]
        if img.dtype != np.uint8 or self.stretch_8bit:
            img = stretch(img, self.percentiles, self.per_channel)
        elif self.to_float32:
            img = img.astype(np.float32)
        img = _arrange(img, [None if i is None else used.index(i) for i in plan])
        if self.check_sizes and not from_array:
            check_files(results, img.shape[:2])
        results["img"] = np.ascontiguousarray(img)
        results["img_shape"] = results["ori_shape"] = img.shape[:2]
        return results

    def _plan(self, found: int, colour: bool, alpha: bool, path: str) -> Plan:
        """For each channel of the result the one of the decoded image; None for zeros."""
        if self.select is not None:
            outside = [i for i in self.select if i is not None and i >= found]
            if outside:
                raise ValueError(
                    f"image '{path}' has {found} channels (numbers 0..{found - 1}), "
                    f"LoadImage(select={self.select}) wants channel {outside[0]}: choose among "
                    "them, or write None for a channel of zeros."
                )
            return [BGR[i] if colour and i is not None else i for i in self.select]
        wanted, kept = self.channels, list(range(found))
        if wanted is None:
            return kept[:3] if alpha else kept
        if wanted == found:
            return kept
        if wanted == 3 and found == 1:
            return [0, 0, 0]
        if wanted == 3 and colour:
            return kept[:3]
        if found < wanted and self.missing == "zero":
            return kept + [None] * (wanted - found)
        if found < wanted and self.missing == "repeat":
            return [i % found for i in range(wanted)]
        fix = (
            "or missing='zero' or 'repeat' to fill up"
            if found < wanted
            else f"or select={tuple(range(wanted))} or others to choose among them"
        )
        raise ValueError(
            f"image '{path}' has {found} channels, LoadImage(channels={wanted}) cannot make "
            f"{wanted} of them: set channels={found} (and in_channels of the model), or None; "
            f"{fix}."
        )


def _read(path: str) -> bytes:
    try:
        return get(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"image '{path}' does not exist. If annotations name it: it is not in the image "
            "folder (config keys data_root and data_prefix)."
        ) from error


def _as_decoded(img: NDArray[Any]) -> Decoded:
    if img.ndim not in (2, 3) or not img.size:
        raise ValueError(
            f"image given as array has shape {img.shape}: (H, W) or (H, W, C) is needed."
        )
    img = img if img.ndim == 3 else img[..., None]
    return Decoded(img, colour=img.shape[2] == 3, alpha=False)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_select(select: Sequence[int | None], channels: int | None) -> None:
    good = not isinstance(select, str) and all(i is None or _is_index(i) for i in select)
    if not good or all(i is None for i in select):
        raise ValueError(
            "select must be numbers of channels from 0 (None for zeros, not all of them), "
            f"got {select!r}."
        )
    if channels not in (3, None, len(select)):
        raise ValueError(
            f"channels={channels} contradicts select={tuple(select)}, which makes {len(select)} "
            "channels: leave channels out."
        )


def _arrange(img: NDArray[Any], plan: Plan) -> NDArray[Any]:
    if plan == list(range(img.shape[2])):
        return img
    arranged = np.zeros((*img.shape[:2], len(plan)), img.dtype)
    for at, source in enumerate(plan):
        if source is not None:
            arranged[..., at] = img[..., source]
    return arranged


def to_gray(img: NDArray[Any]) -> NDArray[Any]:
    """Luminance (H, W, 1) of a BGR or BGRA image, in its own number type (ITU-R BT.601)."""
    blue, green, red = (img[..., i].astype(np.float32) for i in range(3))
    gray = 0.114 * blue + 0.587 * green + 0.299 * red
    return (np.rint(gray) if img.dtype.kind in "ui" else gray).astype(img.dtype)[..., None]


def to_bytes(img: NDArray[Any]) -> NDArray[np.uint8]:
    """Round what LoadImage gives, 0 to 255, to bytes: deep images are floats after stretching."""
    return img if img.dtype == np.uint8 else np.clip(np.rint(img), 0, 255).astype(np.uint8)


def stretch(
    img: NDArray[Any], percentiles: tuple[float, float], per_channel: bool
) -> NDArray[np.float32]:
    """Stretch values so that two percentiles become 0 and 255; NaN becomes 0, infinity 255.

    Where both percentiles are one value (few bright pixels on an even ground), minimum and
    maximum take their place.

    Args:
        img: (H, W, C) of any real number type.
        percentiles: Low and high, in percent.
        per_channel: Percentiles of each channel alone.

    Returns:
        (H, W, C) within 0..255; all 0 where the image is constant.
    """
    with np.errstate(over="ignore"):
        values = img.astype(np.float32)
    percentile, lowest, highest = np.percentile, np.min, np.max
    saturated = None
    if img.dtype.kind == "f":
        saturated = values == np.inf
        values[~np.isfinite(values)] = np.nan
        empty = np.isnan(values).all((0, 1))
        if empty.all():
            return np.zeros(values.shape, np.float32)
        if per_channel:
            values[..., empty] = 0
        saturated[..., empty] = False
        percentile, lowest, highest = np.nanpercentile, np.nanmin, np.nanmax
    axis = (0, 1) if per_channel else None
    low, high = percentile(values, percentiles, axis=axis, keepdims=True)
    flat = high <= low
    if flat.any():
        low = np.where(flat, lowest(values, axis=axis, keepdims=True), low)
        high = np.where(flat, highest(values, axis=axis, keepdims=True), high)
    scale = np.where(high > low, 255 / np.maximum(high - low, np.finfo(np.float32).tiny), 0)
    stretched = np.nan_to_num(np.clip((values - low) * scale, 0, 255)).astype(np.float32)
    if saturated is not None:
        stretched[saturated] = 255
    return stretched
