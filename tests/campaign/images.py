"""Image files and maps of labels: damaged, of other kinds, and with headers that lie."""

import functools
import io
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageFile

from attnseg.apis.command import input_errors
from attnseg.apis.external_formats import Classes, ClassMaps, ImageInfo, LabelMaps
from attnseg.apis.refine_inputs import read_mask
from attnseg.apis.submission import target_of
from attnseg.coco_files import read_segment_ids
from attnseg.compat import rgb2id
from attnseg.datasets.converters.image_files import read_size
from attnseg.datasets.transforms.decode import decode_image
from attnseg.leaderboard.pictures import image_uri
from tests.campaign.annotations import dataset_config, load_all
from tests.campaign.mutate import change_bytes
from tests.campaign.watch import Case

SIZE = (64, 64)


def cases(random: Random, folder: Path, demo: Path) -> Iterator[Case]:
    """Files of many kinds, each for one reader."""
    pixels = cv2.imread(str(next((demo / "images/val").iterdir())))
    panoptic = next((demo / "panoptic/val").iterdir()).read_bytes()
    readers = _readers(demo)
    plain = {"image": _encode(pixels), "labels": _encode(_labels()), "panoptic": panoptic}
    plain["tiff labels"] = _tiff(_labels())
    for number in count():
        whole = number < len(readers)
        name = list(readers)[number] if whole else random.choice(list(readers))
        kind, suffix, read, check = readers[name]
        what, data = "whole", plain[kind]
        if not whole:
            what, data = _changed(kind, plain, pixels, random)
        place = folder / str(number)
        place.mkdir()
        file = place / f"mutated{suffix}"
        file.write_bytes(data)
        yield Case(
            f"images/{number} {name}: {what}",
            lambda read=read, file=file: read(file),
            ("mutated", "val_0"),
            check and (lambda found, check=check, data=data: check(data, found)),
            place,
            whole,
        )
        shutil.rmtree(place)


def _changed(kind: str, plain: dict[str, bytes], pixels: Any, random: Random) -> tuple[str, bytes]:
    if random.random() < 0.45:
        source = random.choice(list(plain)) if random.random() < 0.1 else kind
        form = plain[source]
        if kind == "image" and random.random() < 0.5:
            suffix = random.choice((".jpg", ".bmp", ".tif", ".webp"))
            form = _encode(pixels, suffix)
        return change_bytes(form, random)
    forms = _forms(plain[kind], pixels)
    name = random.choice(list(forms))
    return name, forms[name]()


def _forms(data: bytes, pixels: Any) -> dict[str, Callable[[], bytes]]:
    """Whole files of kinds that a reader may not expect, and headers that promise too much."""
    deep = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    colour = Image.fromarray(pixels)
    return {
        "16-bit gray": lambda: _encode(deep),
        "16-bit colour": lambda: _encode(np.dstack([deep] * 3)),
        "float tiff": lambda: _tiff(deep.astype(np.float32) / 7),
        "NaN tiff": lambda: _tiff(np.full(SIZE, np.nan, np.float32)),
        "stack": lambda: _tiff(np.stack([deep] * 5), imagej=True, metadata={"axes": "ZYX"}),
        "7 channels": lambda: _tiff(np.stack([deep] * 7)),
        "palette": lambda: _pil(colour.convert("P")),
        "bilevel": lambda: _pil(colour.convert("1")),
        "alpha": lambda: _pil(colour.convert("RGBA")),
        "gray": lambda: _pil(colour.convert("L")),
        "gray and alpha": lambda: _pil(colour.convert("LA")),
        "CMYK": lambda: _pil(colour.convert("CMYK"), "TIFF"),
        "gif": lambda: _pil(colour.convert("P"), "GIF"),
        "transposed": lambda: _encode(np.ascontiguousarray(pixels[:32].swapaxes(0, 1))),
        "one pixel": lambda: _encode(np.zeros((1, 1, 3), np.uint8)),
        "bomb": lambda: png_of_size(20_000, 20_000),
        "larger bomb": lambda: png_of_size(60_000, 60_000),
        "promised size": lambda: _promise(data, 100_000, 100_000),
        "no pixel": lambda: _promise(data, 0, 64),
        "tiff bomb": lambda: _tiff_bomb(),
        "text": lambda: b"class 0.1 0.2\n" * 20,
    }


def _readers(demo: Path) -> dict[str, tuple[str, str, Callable[[Path], Any], Any]]:
    def as_file(kind: str, key: str, folder: str) -> Callable[[Path], Any]:
        """A data set whose second image, or its map, is the file."""

        def read(file: Path) -> Any:
            place = file.parent / "set"
            place.mkdir()
            for name in (demo / folder).iterdir():
                (place / name.name).symlink_to(name)
            target = sorted(place.iterdir())[0]
            target.unlink()
            shutil.copy(file, target)
            form = "instances" if kind == "instances" else "panoptic"
            config = dataset_config(kind, demo, demo / f"annotations/{form}_val.json")
            config["data_prefix"][key] = str(place)
            try:
                return load_all(config)
            finally:
                shutil.rmtree(place)

        return read

    def external(reader: Any) -> Callable[[Path], Any]:
        def read(file: Path) -> Any:
            (file.parent / "in").mkdir()
            shutil.copy(file, file.parent / "in" / file.name)
            image = ImageInfo(1, "mutated.png", SIZE)
            classes = Classes(tuple("abcde"), {}, None, 0)
            try:
                with input_errors(KeyError, OSError):
                    return reader(file.parent / "in", [image], classes).read(image)
            finally:
                shutil.rmtree(file.parent / "in")

        return read

    def called(function: Callable[..., Any], *more: Any) -> Callable[[Path], Any]:
        def read(file: Path) -> Any:
            with input_errors():
                return function(file, *more)

        return read

    def decode(file: Path) -> Any:
        with input_errors():
            return decode_image(file.read_bytes(), str(file))

    def target(file: Path) -> Any:
        with input_errors(OSError):
            return target_of("cellseg", images=str(file.parent))

    return {
        "LoadImage": ("image", ".png", as_file("instances", "img", "images/val"), None),
        "panoptic PNG": ("panoptic", ".png", as_file("panoptic", "seg", "panoptic/val"), None),
        "semantic view": (
            "panoptic",
            ".png",
            as_file("semantic", "seg_map_path", "panoptic/val"),
            None,
        ),
        "decode_image": ("image", ".png", decode, same_pixels),
        "decode_image of tif": ("image", ".tif", decode, same_pixels),
        "read_segment_ids": (
            "panoptic",
            ".png",
            lambda file: called(read_segment_ids)(str(file)),
            same_ids,
        ),
        "LabelMaps": ("labels", ".png", external(LabelMaps), None),
        "LabelMaps of tif": ("tiff labels", ".tif", external(LabelMaps), None),
        "ClassMaps": ("labels", ".png", external(ClassMaps), same_labels),
        "stroke": ("labels", ".png", called(read_mask, SIZE, "stroke", "the image"), None),
        "read_size": ("image", ".png", called(read_size), same_size),
        "page": ("image", ".png", called(image_uri), None),
        "submit cellseg": ("image", ".png", target, None),
    }


def same_pixels(data: bytes, found: Any) -> str | None:
    """Compare with Pillow, where it reads the file at all and the mode is a plain one."""
    image = _by_pillow(data)
    if image is None or image.mode not in ("L", "RGB") or image.getexif().get(0x112, 1) != 1:
        return None
    # Pillow makes 8 bits of 16.
    if image.format not in ("PNG", "BMP") or found.img.dtype != np.uint8:
        return None
    own = found.img[..., ::-1] if found.colour else found.img[..., 0]
    return None if np.array_equal(own, np.asarray(image)) else "other pixels than Pillow's"


def same_ids(data: bytes, found: Any) -> str | None:
    """Compare segment ids with Pillow's pixels."""
    image = _by_pillow(data)
    if image is None:
        return "Pillow cannot read the file"
    return None if np.array_equal(found, rgb2id(np.asarray(image))) else "other ids"


def same_labels(data: bytes, found: Any) -> str | None:
    """Compare labels with Pillow's pixels; 255 and 65535 are void."""
    image = _by_pillow(data)
    if image is None:
        return None
    values = np.asarray(image).astype(np.int64)
    values[np.isin(values, (255, 65535))] = 5
    return None if np.array_equal(found.semantic, values) else "other labels"


def same_size(data: bytes, found: Any) -> str | None:
    """Compare height and width with Pillow's."""
    image = _by_pillow(data)
    return (
        None if image is None or found == image.size[::-1] else f"{found}, not {image.size[::-1]}"
    )


def _by_pillow(data: bytes) -> Image.Image | None:
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception:
        return None
    return image


def _labels() -> Any:
    labels = np.zeros(SIZE, np.uint8)
    labels[8:30, 10:40], labels[40:60, 5:25] = 1, 3
    return labels


def _encode(pixels: Any, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def _pil(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def _tiff(pixels: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


@functools.cache
def png_of_size(height: int, width: int) -> bytes:
    """A whole PNG of black pixels, a thousandth of its size in memory or less."""
    packer, row = zlib.compressobj(1), bytes(1 + width)
    data = b"".join(packer.compress(row * 500) for _ in range(height // 500)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", data)
        + _chunk(b"IEND", b"")
    )


def _promise(data: bytes, height: int, width: int) -> bytes:
    header = struct.pack(">II", width, height) + data[24:29]
    return data[:8] + _chunk(b"IHDR", header) + data[33:]


def _tiff_bomb() -> bytes:
    """The header of a page of 100,000 x 100,000 pixels, of which the file has a few."""
    data = _tiff(np.zeros((7, 9), np.uint8))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        places = [tags[name].valueoffset for name in ("ImageLength", "ImageWidth", "RowsPerStrip")]
        types = [tags[name].dtype for name in ("ImageLength", "ImageWidth", "RowsPerStrip")]
    changed = bytearray(data)
    for place, kind in zip(places, types, strict=True):
        form = "<H" if kind == 3 else "<I"
        struct.pack_into(form, changed, place, 60_000 if kind == 3 else 100_000)
    return bytes(changed)
