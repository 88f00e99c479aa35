"""Image files: read whole, each once, and compared with what annotations and pipeline expect."""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmengine.fileio import get
from numpy.typing import NDArray
from PIL import Image

from attnseg.coco_files import DamagedImage, decode_image
from attnseg.datasets.transforms import decode
from attnseg.datasets.transforms.image import to_gray
from attnseg.engine.config_hash import type_name

from .contents import Contents, Size
from .findings import Findings

SIDE = 16  # of the small copy by which images are compared
_PNG = b"\x89PNG\r\n\x1a\n"
_MODES = {
    "1": (1, 1),
    "P": (8, 3),
    "PA": (8, 4),
    "LA": (8, 2),
    "I": (32, 1),
    "F": (32, 1),
}
_NAMES = {1: "gray", 2: "gray with alpha", 3: "colour", 4: "colour with alpha"}
_EXIF_TURN, _WITH_EXIF = 274, ("JPEG", "MPO", "WEBP")


class ImageFacts(NamedTuple):
    """What the doctor keeps of an image.

    Attributes:
        problem: Code of what is wrong with the file itself, or None.
        text: More about the problem.
        size: Height and width.
        kind: Depth and channels in words.
        depth: Bits of a value.
        turned: Whether EXIF says that it is to be turned.
        digest: Of the file.
        small: Gray copy (16, 16), or None.
    """

    problem: str | None
    text: str = ""
    size: Size = (0, 0)
    kind: str = ""
    depth: int = 8
    turned: bool = False
    digest: bytes = b""
    small: NDArray[np.uint8] | None = None


def read_image(path: str) -> ImageFacts:
    """Read an image file whole, with its checksums."""
    try:
        data = get(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ImageFacts("image-missing")
    except OSError as error:
        return ImageFacts("image-damaged", str(error))
    facts = _decode_tiff if decode.is_tiff(data) else _decode
    try:
        return facts(data)._replace(digest=hashlib.blake2b(data, digest_size=16).digest())
    except Exception as error:  # Decoders fail at damaged bytes in more ways than a list can name.
        return ImageFacts("image-damaged", str(error) if data else "an empty file")


def _decode_tiff(data: bytes) -> ImageFacts:
    # Whether planes of a stack are channels is the loader's matter.
    try:
        img = decode.decode_image(data, "", stack="channels").img
    except ValueError as error:
        text = str(error).partition("cannot be decoded: ")[2].partition(". Restore")[0]
        raise DamagedImage(text) from error
    channels = img.shape[2]
    depth = img.dtype.itemsize * 8 if img.dtype != bool else 1
    kind = f"{depth}-bit TIFF, {channels} channel{'s' * (channels > 1)}"
    return ImageFacts(None, "", img.shape[:2], kind, depth, small=_small(img))


def _decode(data: bytes) -> ImageFacts:
    header: dict[str, Any] = {}

    def look(image: Image.Image) -> None:
        header.update(mode=image.mode, size=image.size[::-1], turn=_turn(image))

    try:
        img = decode_image(data, look)
    except DamagedImage:
        # Formats that Pillow lacks: OpenCV has a few more.
        img = None if header or not data else cv2.imdecode(np.frombuffer(data, np.uint8), -1)
        if img is None:
            raise
        channels = 1 if img.ndim == 2 else img.shape[2]
        header.update(mode="", size=img.shape[:2], turn=False)
        depth = img.dtype.itemsize * 8
    else:
        depth, channels = _depth(header["mode"], img, data)
    kind = f"{depth}-bit {_NAMES.get(channels, f'{channels} channels')}"
    kind += " with a palette" * (header["mode"] in ("P", "PA"))
    kind += " CMYK" * (header["mode"] == "CMYK")
    if header["mode"] in ("P", "PA"):
        img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return ImageFacts(None, "", header["size"], kind, depth, header["turn"], small=_small(img))


def _turn(image: Image.Image) -> bool:
    # Of a PNG, Pillow would decode the pixels first, and then refuse to verify them.
    return image.format in _WITH_EXIF and image.getexif().get(_EXIF_TURN, 1) not in (0, 1)


def _depth(mode: str, img: NDArray[Any], data: bytes) -> tuple[int, int]:
    """Bits and channels; Pillow shows deep colour PNGs as 8 bits."""
    depth, channels = _MODES.get(mode, (16 if ";16" in mode else 8, 1 if img.ndim == 2 else 0))
    channels = channels or img.shape[2]
    if data.startswith(_PNG):
        depth = max(data[24], 8) if mode != "1" else 1
    return depth, channels


def to_gray_bytes(img: NDArray[Any]) -> NDArray[np.uint8]:
    """One channel (H, W) of an image of any kind, from 0 (darkest) to 255 (brightest pixel)."""
    img = img if img.ndim == 3 else img[..., None]
    gray = (to_gray(img) if img.shape[2] in (3, 4) else img[..., :1])[..., 0].astype(np.float32)
    gray = np.nan_to_num(gray, posinf=0, neginf=0)
    low, high = float(gray.min()), float(gray.max())
    return ((gray - low) * (255 / max(high - low, 1e-6))).round().astype(np.uint8)


def _small(img: NDArray[Any]) -> NDArray[np.uint8] | None:
    """A gray copy by which near copies are found; None where there is nothing to see."""
    small = cv2.resize(to_gray_bytes(img), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small if small.max() > small.min() else None


def compare_images(contents: Contents, facts: Mapping[str, ImageFacts], findings: Findings) -> None:
    """Compare the images of a set with its annotations, with each other, and with the loader."""
    where, kinds = contents.source.name, defaultdict(list)
    for entry in contents.entries:
        if entry.path is None:
            continue
        found = facts[entry.path]
        if found.problem is not None:
            findings.add(found.problem, where, _with(entry.name, found.text))
            continue
        kinds[found.kind, found.depth].append(entry)
        if entry.size is not None and entry.size != found.size:
            own, listed = (f"{size[1]} x {size[0]}" for size in (found.size, entry.size))
            findings.add("image-size", where, f"{entry.name}: {own}, listed as {listed}")
        if found.turned:
            findings.add("image-turned", where, entry.name)
    _check_kinds(contents, kinds, findings)


def _check_kinds(
    contents: Contents, kinds: Mapping[tuple[str, int], list[Any]], findings: Findings
) -> None:
    where, loader = contents.source.name, contents.source.loader or {}
    if len(kinds) > 1:
        depths = {depth for _, depth in kinds}
        code = "depth-mixed" if len(depths) > 1 else "channels-mixed"
        rare_first = sorted(kinds.items(), key=lambda item: len(item[1]))
        for (kind, _), entries in rare_first[:-1]:
            text = f"{len(entries)} of {kind}, such as {entries[0].name}"
            findings.add(code, where, text, len(entries))
        (kind, _), entries = rare_first[-1]
        findings.add(code, where, f"most ({len(entries)}) are {kind}", 0)
    own_loader = type_name(loader) == "LoadImage"
    narrow = type_name(loader) == "LoadImageFromFile" and loader.get("color_type") != "unchanged"
    for (kind, depth), entries in kinds.items():
        if depth > 8 and (own_loader or narrow):
            code = "depth-stretched" if own_loader else "depth-lost"
            findings.add(code, where, f"{kind}, such as {entries[0].name}", len(entries))
        problem = _refusal(loader, entries[0].path) if own_loader else None
        if problem:
            findings.add("image-loader", where, f"{kind}: {problem}", len(entries))


def _refusal(loader: Mapping[str, Any], path: str) -> str | None:
    """What the loader itself says to an image of a kind."""
    from attnseg.datasets import LoadImage

    arguments = {key: value for key, value in loader.items() if key not in ("type", "_scope_")}
    try:
        LoadImage(**{**arguments, "check_sizes": False}).transform({"img_path": path})
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def _with(name: str, text: str) -> str:
    return f"{name}: {text}" if text else name


def threads() -> int:
    """How many files are read at once: decoders work outside the interpreter's lock."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def quiet() -> None:
    """Keep decoders from writing warnings between the lines of the report."""
    for name in ("tifffile", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
