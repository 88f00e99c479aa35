"""Images with more objects than a model has queries, cut until none has."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from mmengine.utils import track_iter_progress
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from ...coco_files import read_coco_json
from ...engine import atomic
from ..coco_json import group_by_image
from ..panoptic_png import measure
from ..transforms.decode import BGR, decode_image
from .files import write_png
from .image_files import ImageFiles, check_size, relative
from .panoptic_from_instances import object_mask
from .split import Split, check_targets

Window = tuple[int, int, int, int]


def cut_windows(
    boxes: NDArray[Any], size: tuple[int, int], max_objects: int, min_side: int
) -> Iterator[Window]:
    """Halve an image across its longer side until each part has few enough objects.

    Args:
        boxes: (N, 4) x, y, width, height in pixels.
        size: Height and width of the image.
        max_objects: Most boxes that may reach into a part.
        min_side: Parts are not made narrower than this many pixels, whatever they hold.

    Yields:
        y, x, height, width of each part, from top left on; together they are the image.
    """
    waiting = [(0, 0, *size)]
    while waiting:
        y, x, height, width = waiting.pop()
        right, below = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
        inside = (boxes[:, 0] < x + width) & (right > x)
        inside &= (boxes[:, 1] < y + height) & (below > y)
        if inside.sum() <= max_objects or max(height, width) < 2 * min_side:
            yield y, x, height, width
        elif height >= width:
            half = height // 2
            waiting += [(y + half, x, height - half, width), (y, x, half, width)]
        else:
            half = width // 2
            waiting += [(y, x + half, height, width - half), (y, x, height, half)]


def crop_dense(
    root: str | Path,
    out: str | Path,
    images: str | Path | None = None,
    max_objects: int = 100,
    min_side: int = 64,
    min_share: float = 0.1,
) -> list[str]:
    """Write ``annotations/instances_*.json`` of ``root`` with no image of too many objects.

    The paper of IAUNet prepares "all images to contain a maximum of 100 instances" and does not say
    how; this way is ours. Images that have few enough stay where they are; of others, parts are
    written to ``out/images/<split>``, without loss; no json is written before all images of all
    splits are cut. An object that is cut is one in each part; a piece smaller than ``min_share`` of
    it is left out there. Parts are evaluated as images: :class:`~attnseg.datasets.LoadImage`
    stretches a part of a deep image by the percentiles of the part, not of the image.

    Args:
        root: Folder with ``annotations/instances_*.json``.
        out: Folder to write to, another one; paths in its files are relative to it.
        images: Folder of the images; ``root`` if left out.
        max_objects: Most objects of an image, but of parts that ``min_side`` keeps from a cut.
        min_side: As for :func:`cut_windows`.
        min_share: Of the pixels of an object, in [0, 1].

    Returns:
        A line for each file written: its path and what is in it.

    Raises:
        FileNotFoundError: If there is no such json, or an image is missing.
        ValueError: If ``out`` is ``root``, an argument is out of range, a json lists an image
            twice, a file is damaged, or a json in ``out`` is none of ours.
    """
    root, out = Path(root), Path(out)
    if out.resolve() == root.resolve():
        raise ValueError(f"out and root are both '{root}': give another folder to write to.")
    if max_objects < 1 or min_side < 1 or not 0 <= min_share <= 1:
        raise ValueError(
            "max_objects and min_side must be at least 1, min_share in [0, 1]; got "
            f"{max_objects}, {min_side}, {min_share}."
        )
    sources = sorted((root / "annotations").glob("instances_*.json"))
    if not sources:
        raise FileNotFoundError(
            f"no instances_*.json in '{root / 'annotations'}': convert the set first."
        )
    check_targets(out, [path.name for path in sources], sources)
    files = ImageFiles(Path(images or root), out)
    made = []
    for path in sources:
        need = ("annotations", "image.file_name", "annotation.segmentation")
        content = read_coco_json(str(path), "instances", need)
        names = [c["name"] for c in sorted(content["categories"], key=lambda c: c["id"])]
        folder = out / "images" / path.stem.removeprefix("instances_")
        split, cut = Split(), set()
        for image, objects, picture in _images_of(content, path, files):
            boxes = np.array([part["bbox"] for part in objects], float).reshape(-1, 4)
            size = (image["height"], image["width"])
            windows = list(cut_windows(boxes, size, max_objects, min_side))
            listed = {"file_name": files.relative(picture), "height": size[0], "width": size[1]}
            if len(windows) == 1:
                split.add(listed, objects)
                continue
            if listed["file_name"] in cut:
                raise ValueError(f"'{path}' lists the image '{image['file_name']}' twice.")
            cut.add(listed["file_name"])
            stem = folder / _part_name(image["file_name"])
            for found, part in _cut_image(picture, stem, path, objects, size, windows, min_share):
                split.add({**part, "file_name": relative(part["file_name"], out)}, found)
        made.append((out / "annotations" / path.name, split, names))
    return [split.write(path, names) for path, split, names in made]


def _part_name(file_name: str) -> str:
    """Begin of the names of an image's parts; several folders may have images of its name."""
    digest = hashlib.sha256(file_name.encode()).hexdigest()[:8]
    return f"{Path(file_name).stem}-{digest}"


def _cut_image(
    picture: Path,
    stem: Path,
    source: Path,
    objects: Sequence[Mapping[str, Any]],
    size: tuple[int, int],
    windows: Sequence[Window],
    min_share: float,
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Write the parts of an image; the objects of each, and the part as COCO lists images."""
    pixels, colour, alpha = decode_image(picture.read_bytes(), str(picture))
    check_size(picture, pixels.shape[:2], source, size)
    parts = _cut_objects(objects, source, size, windows, min_share)
    for (y, x, height, width), found in zip(windows, parts, strict=True):
        begin = stem.with_name(f"{stem.name}_y{y}_x{x}")
        written = _write(begin, pixels[y : y + height, x : x + width], colour, alpha)
        yield found, {"file_name": written, "height": height, "width": width}


def _images_of(
    content: Mapping[str, Any], path: Path, files: ImageFiles
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], Path]]:
    """Each image with its objects, whose categories are numbered from 1 on, and its file."""
    ids = sorted(category["id"] for category in content["categories"])
    numbers = {category_id: number for number, category_id in enumerate(ids, 1)}
    groups = group_by_image(content, "instances")
    for image in track_iter_progress(content["images"]):
        picture = files.find(image["file_name"])
        if picture is None:
            raise FileNotFoundError(
                f"image '{image['file_name']}' of '{path}' is not below '{files.folder}': "
                "give the folder of the images (--images)."
            )
        objects = groups[image["id"]]
        yield image, [{**o, "category_id": numbers[o["category_id"]]} for o in objects], picture


def _cut_objects(
    objects: Sequence[Mapping[str, Any]],
    source: Path,
    size: tuple[int, int],
    windows: Sequence[Window],
    min_share: float,
) -> list[list[dict[str, Any]]]:
    """The pieces of objects in each window, as COCO annotations without ids."""
    parts: list[list[dict[str, Any]]] = [[] for _ in windows]
    for part in objects:
        mask = object_mask(part, size, f"'{source}'")
        least = max(1, min_share * mask.sum())
        for (y, x, height, width), found in zip(windows, parts, strict=True):
            seen = mask[y : y + height, x : x + width]
            if seen.sum() < least:
                continue
            rle = rle_tools.encode(np.asfortranarray(seen, np.uint8))
            found.append(
                {
                    "category_id": part["category_id"],
                    "iscrowd": int(part.get("iscrowd", 0)),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    **measure(seen),
                }
            )
    return parts


def _write(stem: Path, pixels: NDArray[Any], colour: bool, alpha: bool) -> Path:
    """Write as PNG what PNG can hold, and other channels and types as TIFF."""
    channels = pixels.shape[2]
    plain = channels == 1 or (colour and (channels == 3 or alpha))
    if plain and pixels.dtype in (np.uint8, np.uint16):
        path = stem.with_name(f"{stem.name}.png")
        write_png(path, pixels)
        return path
    path = stem.with_name(f"{stem.name}.tif")
    buffer = io.BytesIO()
    if colour:
        extra = ["unassalpha" if alpha else "unspecified"] if channels == 4 else None
        ordered = pixels[..., BGR[:channels]]
        tifffile.imwrite(buffer, ordered, photometric="rgb", extrasamples=extra)
    else:
        pages = np.moveaxis(pixels, 2, 0)
        tifffile.imwrite(buffer, pages, photometric="minisblack", metadata=None)
    atomic.write_bytes(path, buffer.getvalue())
    return path
