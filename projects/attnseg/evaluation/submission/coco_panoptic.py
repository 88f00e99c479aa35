"""COCO panoptic: a json of the segments and a folder of PNG files.

``panoptic_<split>_<algorithm>_results.zip`` holds ``panoptic_<split>_<algorithm>_results.json`` and
the folder ``panoptic_<split>_<algorithm>_results`` with ``<image stem>.png`` (RGB, id = R + 256 G +
65536 B, 0 for void). The json has ``annotations``: ``image_id``, ``file_name`` and
``segments_info`` with ``id`` and ``category_id``.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnseg.coco_files import relabel
from attnseg.compat import id2rgb, rgb2id
from attnseg.evaluation.submission.archive import ZipReader, ZipWriter, checked_image
from attnseg.evaluation.submission.coco_instance import check_stem, pair_by_id, report_stem
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.png import png_bytes
from attnseg.evaluation.submission.saved import OFFSET, SavedPredictions
from attnseg.evaluation.submission.target import Target, TargetImage, by_key, category_ids
from attnseg.evaluation.submission.target import stem as image_stem


def pack(saved: SavedPredictions, target: Target, archive: ZipWriter, stem: str) -> None:
    """Write PNG files and json; stuff of one class is one segment.

    Args:
        saved: Predictions with panoptic maps.
        target: Images and categories, which are matched with the classes by name.
        archive: Zip file.
        stem: Name of the json without suffix, and of the folder.

    Raises:
        ValueError: If the predictions do not fit the target.
    """
    check_stem(stem, "panoptic")
    saved.require("panoptic")
    ids = category_ids(saved, range(len(saved.classes)), target)
    things = {category["id"]: bool(category["isthing"]) for category in target.categories}
    pairs = pair_by_id(saved, target)
    by_key([image for _, image, _ in pairs], image_stem, target.source)
    annotations = []
    for image_id, image, prediction in pairs:
        segment_ids, infos = _segments(saved.panoptic(prediction), ids, things)
        name = f"{image_stem(image)}.png"
        archive.add(f"{stem}/{name}", png_bytes(id2rgb(segment_ids)))
        annotations.append({"image_id": image_id, "file_name": name, "segments_info": infos})
    content = json.dumps({"annotations": annotations}, separators=(",", ":"))
    archive.add(f"{stem}.json", content.encode(), compress=True)


def _segments(
    values: NDArray[np.int32], categories: list[int], things: dict[int, bool]
) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
    table: dict[int, int] = {}
    infos: list[dict[str, Any]] = []
    stuff: dict[int, int] = {}
    for value in np.unique(values).tolist():
        label = value % OFFSET
        if label >= len(categories):
            continue
        category = categories[label]
        if category in stuff:
            table[value] = stuff[category]
            continue
        table[value] = len(infos) + 1
        infos.append({"id": table[value], "category_id": category})
        if not things[category]:
            stuff[category] = table[value]
    return relabel(values, table, 0, np.int32), infos


def validate(archive: ZipReader, target: Target, stem: str, findings: Findings) -> None:
    """Report what is wrong with such a file."""
    report_stem(stem, "panoptic", findings)
    names = archive.check_names(findings)
    if f"{stem}.json" not in names:
        findings.error("missing file", f"{stem}.json")
        return
    try:
        content = json.loads(archive.read(f"{stem}.json"))
        annotations = content["annotations"]
        if not isinstance(annotations, list):
            raise TypeError("'annotations' is no list")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        findings.error("damaged file", f"{stem}.json: {error!r:.120}")
        return
    images = {image.id: image for image in target.images or ()}
    seen: set[Any] = set()
    used: set[str] = {f"{stem}.json"}
    things = {category["id"]: bool(category["isthing"]) for category in target.categories}
    for image, name, infos in _listed(annotations, images, seen, findings):
        member = f"{stem}/{name}"
        if name != f"{image_stem(image)}.png" or member in used:
            findings.error(
                "file_name that is not <image stem>.png", f"{name!r:.80} of id {image.id}"
            )
        used.add(member)
        if member not in names:
            findings.error("missing file", member)
            continue
        _check_ids(infos, things, f"image id {image.id}", findings)
        pixels = checked_image(archive, member, ("RGB",), image.size, findings)
        if pixels is not None:
            _check_pixels(rgb2id(pixels), infos, f"image id {image.id}", findings)
    for name in names:
        if name not in used:
            findings.error("surplus file, which the json does not name", name)
    for image_id in images.keys() - seen:
        findings.error("image without a prediction", f"id {image_id}")


def _listed(
    annotations: list[Any], images: dict[Any, TargetImage], seen: set[Any], findings: Findings
) -> Iterator[tuple[TargetImage, str, list[dict[str, Any]]]]:
    """Annotations of the expected form, each image once; fills ``seen``."""
    for number, annotation in enumerate(annotations):
        where = f"annotation {number}"
        try:
            image_id, name = annotation["image_id"], annotation["file_name"]
            infos = [
                {key: info[key] for key in ("id", "category_id")} | {"area": info.get("area")}
                for info in annotation["segments_info"]
            ]
            known, repeated = image_id in images, image_id in seen
            if not isinstance(name, str) or not all(
                isinstance(info["id"], int) and isinstance(info["category_id"], int)
                for info in infos
            ):
                raise TypeError
        except (KeyError, TypeError, AttributeError):
            findings.error(
                "annotation without image_id, file_name or segments_info of id and category_id",
                where,
            )
            continue
        if not known:
            findings.error("unknown image id", f"{image_id!r:.40} of {where}")
        elif repeated:
            findings.error("image with two predictions", f"id {image_id}")
        else:
            seen.add(image_id)
            yield images[image_id], name, infos


def _check_ids(
    infos: list[dict[str, Any]], things: dict[int, bool], where: str, findings: Findings
) -> None:
    for info in infos:
        if info["category_id"] not in things:
            findings.error("unknown category id", f"{info['category_id']} in {where}")
        if not 0 < info["id"] < 1 << 24:
            findings.error("segment id outside 1 to 2^24 - 1", f"{info['id']} in {where}")
    for segment, count in Counter(info["id"] for info in infos).items():
        if count > 1:
            findings.error("overlapping segments: one id, several times", f"{segment} in {where}")
    stuff = Counter(i["category_id"] for i in infos if things.get(i["category_id"]) is False)
    for category, count in stuff.items():
        if count > 1:
            findings.warn("stuff of one category in several segments", f"{category} in {where}")


def _check_pixels(
    pixels: NDArray[np.int32], infos: list[dict[str, Any]], where: str, findings: Findings
) -> None:
    present, areas = np.unique(pixels, return_counts=True)
    area_of = dict(zip(present.tolist(), areas.tolist(), strict=True))
    listed = {info["id"] for info in infos}
    for segment in sorted(area_of.keys() - listed - {0}):
        findings.error("segment of the PNG that the json does not list", f"{segment} in {where}")
    for segment in sorted(listed - area_of.keys() - {0}):
        findings.error("segment of the json that the PNG does not have", f"{segment} in {where}")
    for info in infos:
        area = area_of.get(info["id"])
        if info["area"] is not None and area is not None and info["area"] != area:
            findings.error(
                "overlapping segments: area in the json, pixels in the PNG",
                f"segment {info['id']} in {where}: {info['area']} and {area}",
            )
