"""Refine the masks of a COCO results file of any model: what ``tools/refine_predictions.py`` runs.

A result keeps its place, score, category and every other field. Its mask becomes compressed RLE,
also where it was given as polygons, which cannot hold it exactly.
"""

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools
from tqdm import tqdm

from attnseg._atomic import replace_file
from attnseg.apis.command import UsageError, input_errors
from attnseg.apis.refine_images import SUFFIXES
from attnseg.apis.refiner import MaskRefiner
from attnseg.coco_objects import usable_polygons
from attnseg.coco_values import is_number
from attnseg.evaluation.functional.average_precision import evaluate_detections
from attnseg.evaluation.instance_metric import PRESETS
from attnseg.evaluation.masks import encode_segmentation
from attnseg.evaluation.submission.json_stream import read_json_list, write_json_list
from attnseg.file_names import check_names
from attnseg.rle import decode_mask, run_lengths
from attnseg.zip_limits import check_members

Record = dict[str, Any]
Mask = NDArray[np.bool_]
_KEYS = ("image_id", "category_id", "segmentation", "score")


def read_results(path: str | Path) -> list[Record]:
    """Read a COCO results file, or the zip file of one as ``tools/submit.py`` packs it.

    Raises:
        UsageError: it is missing or damaged, or a result lacks a key; says which.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"results file '{path}' not found (looked from {Path.cwd()}).")
    with input_errors(OSError, zipfile.BadZipFile):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                try:
                    check_members(archive)
                except ValueError as error:
                    raise UsageError(f"'{path}': {error}.") from error
                names = [name for name in archive.namelist() if name.endswith(".json")]
                if len(names) != 1:
                    raise UsageError(f"'{path}' holds {len(names)} json files: one is needed.")
                data = archive.read(names[0])
        else:
            data = path.read_bytes()
        if data.lstrip()[:1] == b"{":
            raise UsageError(
                f"'{path}' holds one json object, as annotation files do; for results a list is "
                "needed, of image_id, category_id, segmentation and score."
            )
        records = list(read_json_list(io.BytesIO(data), str(path)))
    for number, record in enumerate(records):
        lacking = [key for key in _KEYS if key not in record]
        if lacking or not is_number(record["score"]):
            fault = f"lacks {', '.join(lacking)}" if lacking else f"has score {record['score']!r}"
            raise UsageError(
                f"'{path}': result {number} {fault}. A COCO results file with masks is needed: a "
                "list of image_id, category_id, segmentation and score."
            )
    return records


def write_results(path: str | Path, records: Sequence[Record]) -> None:
    """Write a COCO results file, atomically."""
    with replace_file(path) as file:
        write_json_list(file, records)


def find_images(
    folder: str | Path, ids: Sequence[Any], listed: Sequence[Mapping[str, Any]] | None
) -> dict[Any, Path]:
    """Image file of each id.

    Args:
        folder: of the images.
        ids: those to find.
        listed: the images of an annotation file; without, files are found by the number that
            their stem ends in, such as ``000000000139.jpg`` for 139, or by the stem itself.

    Raises:
        UsageError: an id is unknown, its file is missing, or several files have its number.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"folder '{folder}' not found (looked from {Path.cwd()}).")
    if listed is not None:
        names = [image["file_name"] for image in listed]
        with input_errors():
            check_names(names, "--ann-file", f"'{folder}'", "Correct the file.")
        files = {image["id"]: [folder / image["file_name"]] for image in listed}
    else:
        files = defaultdict(list)
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                number = re.search(r"\d+$", path.stem)
                for key in {path.stem, *([int(number[0])] if number else [])}:
                    files[key].append(path)
    found = {}
    for image_id in ids:
        paths = files.get(image_id, [])
        if len(paths) != 1 or not paths[0].is_file():
            fault = (
                f"several files are of it ({paths[0].name}, {paths[1].name}); give --ann-file"
                if len(paths) > 1
                else f"its file '{paths[0]}' does not exist"
                if paths
                else "no file or entry is of it; the results are of another set"
                + ("" if listed else ", or --ann-file is needed for the names of the files")
            )
            raise UsageError(f"image id {image_id!r} of the results: {fault}.")
        found[image_id] = paths[0]
    return found


def refine_results(
    refiner: MaskRefiner,
    records: Sequence[Record],
    images: Mapping[Any, Path],
    min_score: float = 0.0,
    min_area: float = 0.0,
    batch_size: int = 8,
    progress: bool = True,
) -> tuple[list[Record], dict[str, int]]:
    """Refine the masks of results.

    A result is passed through as it is if its score or area is below the limits, and if its mask
    is empty, before or after. ``bbox`` and ``area`` are measured anew where a result has them.

    Args:
        refiner: the model.
        records: of :func:`read_results`.
        images: file of each image id.
        min_score: lowest score of what is refined.
        min_area: lowest area in pixels of what is refined.
        batch_size: objects of an image that are refined at once.
        progress: show a bar.

    Returns:
        The results in the same order, and how many were ``refined``, ``below`` the limits, and
        ``empty``.

    Raises:
        UsageError: an image cannot be read, or a mask is damaged or of another size.
    """
    by_image: dict[Any, list[int]] = defaultdict(list)
    for number, record in enumerate(records):
        by_image[record["image_id"]].append(number)
    refined = list(records)
    counts = {"refined": 0, "below": 0, "empty": 0}
    with tqdm(total=len(records), desc="refine", unit="object", disable=not progress) as bar:
        for image_id, numbers in by_image.items():
            wanted = [n for n in numbers if records[n]["score"] >= min_score]
            if wanted:
                with input_errors(OSError):
                    image = refiner.read(images[image_id])
                    masks = [result_mask(records[n], image.shape[:2], n) for n in wanted]
                chosen = [
                    (n, mask)
                    for n, mask in zip(wanted, masks, strict=True)
                    if mask.any() and np.count_nonzero(mask) >= min_area
                ]
                counts["empty"] += sum(not mask.any() for mask in masks)
                counts["below"] += sum(0 < np.count_nonzero(mask) < min_area for mask in masks)
                found = refiner.refine_many(image, [mask for _, mask in chosen], batch_size)
                for (n, _), mask in zip(chosen, found, strict=True):
                    counts["refined" if mask.any() else "empty"] += 1
                    if mask.any():
                        refined[n] = with_mask(records[n], mask)
            counts["below"] += len(numbers) - len(wanted)
            bar.update(len(numbers))
    return refined, counts


def result_mask(record: Record, size: tuple[int, int], number: int) -> Mask:
    """Decode the mask (H, W) of a result.

    Raises:
        ValueError: with the number of the result, if the mask is damaged or of another size.
    """
    name = f"result {number} (image id {record['image_id']!r})"
    segmentation = record["segmentation"]
    if isinstance(segmentation, list):
        polygons = usable_polygons(segmentation, name)
        if not polygons:
            return np.zeros(size, bool)
        rle = rle_tools.merge(rle_tools.frPyObjects(polygons, *size))
        return rle_tools.decode(rle).astype(bool)
    try:
        return decode_mask(segmentation, size)
    except ValueError as error:
        raise ValueError(f"{name}: {error}.") from error


def with_mask(record: Record, mask: Mask) -> Record:
    """A result with another mask (H, W), in which it has a box and area if it had them."""
    rle = rle_tools.encode(np.asfortranarray(mask, np.uint8))
    size = [int(side) for side in rle["size"]]
    new: Record = {"segmentation": {"size": size, "counts": rle["counts"].decode()}}
    if "bbox" in record:
        new["bbox"] = rle_tools.toBbox(rle).tolist()
    if "area" in record:
        new["area"] = float(rle_tools.area(rle))
    return record | new


def score_results(
    truth: Mapping[str, Any], results: Sequence[Record], max_dets: Sequence[int]
) -> dict[str, float]:
    """AP of masks and of boundaries on all images of an annotation file, in [0, 1].

    Boundary AP takes for each pair the lesser of mask IoU and Boundary IoU with a width of 2 % of
    the image's diagonal (Cheng et al., "Boundary IoU", CVPR 2021, section 6).

    Args:
        truth: content of the annotation file.
        results: COCO results.
        max_dets: ascending limits of detections an image and category.

    Raises:
        ValueError: a mask is damaged or not of the size of its image.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    images = [{"id": i, "height": h, "width": w} for i, (h, w) in sizes.items()]
    objects = [
        {
            **{key: ann[key] for key in ("image_id", "category_id", "area", "bbox")},
            "iscrowd": int(ann.get("iscrowd", 0)),
            "segmentation": encode_segmentation(
                ann["segmentation"], sizes[ann["image_id"]], f"annotation {ann.get('id')}"
            ),
        }
        for ann in truth["annotations"]
    ]
    detections = []
    for number, record in enumerate(results):
        segmentation, size = record["segmentation"], sizes[record["image_id"]]
        if not isinstance(segmentation, list):
            # The C decoders trust what they read.
            run_lengths(segmentation, size)
        rle = encode_segmentation(segmentation, size, f"result {number}")
        detections.append(
            {
                **{key: record[key] for key in ("image_id", "category_id", "score")},
                "iscrowd": 0,
                "segmentation": rle,
                "area": float(rle_tools.area(rle)),
                "bbox": rle_tools.toBbox(rle).tolist(),
            }
        )
    categories = sorted(category["id"] for category in truth["categories"])
    ranges = PRESETS["coco"]["area_ranges"]
    scores = {}
    for kind, name in (("segm", "AP"), ("boundary", "boundary_AP")):
        table = evaluate_detections(images, objects, detections, categories, max_dets, ranges, kind)
        scores[name] = table.average_precision()
        scores[f"{name}50"] = table.average_precision(threshold=0)
        scores[f"{name}75"] = table.average_precision(threshold=5)
        scores |= {f"{name}{area}": table.average_precision(area) for area in ranges}
    return scores
