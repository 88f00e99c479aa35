"""COCO detection with masks: one json with the detections of all images.

``detections_<split>_<algorithm>_results.zip`` holds a json of that name: a list of ``image_id``,
``category_id``, ``segmentation`` (RLE), ``score`` and, if wanted, ``bbox``.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from attnseg.coco_files import check_image_name
from attnseg.coco_values import is_box, is_number
from attnseg.evaluation.submission.archive import ZipReader, ZipWriter
from attnseg.evaluation.submission.findings import Findings
from attnseg.evaluation.submission.json_stream import read_json_list, write_json_list
from attnseg.evaluation.submission.saved import SavedImage, SavedPredictions
from attnseg.evaluation.submission.target import Target, TargetImage, category_ids, pair_images
from attnseg.rle import mask_area, mask_box, run_lengths

MAX_PER_IMAGE = 100
_KEYS = ("image_id", "category_id", "segmentation", "score")


def pack(
    saved: SavedPredictions,
    target: Target,
    archive: ZipWriter,
    stem: str,
    boxes: bool = False,
    max_per_image: int = MAX_PER_IMAGE,
) -> None:
    """Write the detections of all images.

    Args:
        saved: Predictions with instances.
        target: Images and categories, which are matched with the classes by name.
        archive: Zip file.
        stem: Name of the json without suffix.
        boxes: Also give the box around each mask.
        max_per_image: Detections to keep, those of the highest scores.

    Raises:
        ValueError: If the predictions do not fit the target.
    """
    if max_per_image < 1:
        raise ValueError(f"--max-per-image {max_per_image}: at least 1 detection is needed.")
    check_stem(stem, "detections")
    saved.require("instances")
    things = [label for label, thing in enumerate(saved.things) if thing]
    categories = dict(zip(things, category_ids(saved, things, target), strict=True))
    pairs = pair_by_id(saved, target)

    def records() -> Iterator[dict[str, Any]]:
        for image_id, _, image in pairs:
            yield from _records(saved, image, image_id, categories, boxes, max_per_image)

    with archive.open(f"{stem}.json") as stream:
        write_json_list(stream, records())


def _records(
    saved: SavedPredictions,
    image: SavedImage,
    image_id: Any,
    categories: dict[int, int],
    boxes: bool,
    limit: int,
) -> Iterator[dict[str, Any]]:
    found = saved.instances(image)
    order = np.argsort(-found.scores, kind="stable").tolist()
    for index in [i for i in order if int(found.labels[i]) in categories][:limit]:
        record = {
            "image_id": image_id,
            "category_id": categories[int(found.labels[index])],
            "segmentation": found.masks[index],
            "score": float(found.scores[index]),
        }
        yield record | ({"bbox": mask_box(found.masks[index])} if boxes else {})


def validate(archive: ZipReader, target: Target, stem: str, findings: Findings) -> None:
    """Report what is wrong with such a file."""
    report_stem(stem, "detections", findings)
    wanted = f"{stem}.json"
    names = archive.check_names(findings)
    for name in names:
        if name != wanted:
            findings.error(f"surplus file: only {wanted} is asked for", name)
    if wanted not in names:
        findings.error("missing file", wanted)
        return
    sizes = {image.id: image.size for image in target.images or ()}
    counts: Counter[Any] = Counter()
    try:
        with archive.open(wanted) as stream:
            for number, record in enumerate(read_json_list(stream, wanted)):
                _check(record, f"detection {number}", sizes, target.category_ids, findings)
                counts[str(record.get("image_id"))] += 1
    except ValueError as error:
        findings.error("damaged file", error)
    if not counts:
        findings.error("no detection at all: the server cannot read an empty list", wanted)
    for image_id in sizes:
        count = counts[str(image_id)]
        if not count:
            findings.warn("image without a detection", f"id {image_id}")
        elif count > MAX_PER_IMAGE:
            findings.warn(
                f"more than {MAX_PER_IMAGE} detections: the server takes the highest scores only",
                f"id {image_id} has {count}",
            )


def _check(
    record: dict[str, Any],
    position: str,
    sizes: dict[Any, tuple[int, int] | None],
    categories: frozenset[int],
    findings: Findings,
) -> None:
    lacking = [key for key in _KEYS if key not in record]
    if lacking:
        findings.error(f"detection without {', '.join(lacking)}", position)
        return
    image_id, where = record["image_id"], f"{position} (image id {record['image_id']!r})"
    known = _is_id(image_id) and image_id in sizes
    if not known:
        findings.error("unknown image id", where)
    category = record["category_id"]
    if not _is_id(category) or category not in categories:
        findings.error("unknown category id", f"{category!r:.40} of {where}")
    score = f"{record['score']!r:.40} of {where}"
    if not is_number(record["score"]):
        findings.error("score that is no number", score)
    elif not 0 <= record["score"] <= 1:
        findings.warn("score outside 0 to 1: the server only sorts by scores", score)
    segmentation = record["segmentation"]
    if isinstance(segmentation, dict) and not isinstance(segmentation.get("counts"), str):
        findings.error("mask whose 'counts' are no text: the server reads compressed RLE", where)
        return
    try:
        runs = run_lengths(segmentation, sizes[image_id] if known else None)
        if not mask_area(runs):
            findings.warn("empty mask", where)
    except ValueError as error:
        findings.error("mask that does not fit its image", f"{where}: {error}")
    if "bbox" in record and not _is_box(record["bbox"]):
        findings.error("bbox that is not x, y, width, height", f"{record['bbox']!r:.60} of {where}")


def pair_by_id(
    saved: SavedPredictions, target: Target
) -> list[tuple[Any, TargetImage, SavedImage]]:
    """Pair predictions with images by id, and make sure that they have the same file names.

    Raises:
        ValueError: If the two do not fit.
    """

    def key(image: TargetImage) -> int | str:
        if image.id is None:
            raise ValueError(
                f"'{saved.folder}': image '{image.name}' has no id, which COCO's files go by: "
                "predict with a data set in COCO form."
            )
        return image.id

    pairs = pair_images(saved, target, key)
    for image_id, image, prediction in pairs:
        check_image_name(image_id, prediction.path, image.name, target.source)
    return pairs


def check_stem(stem: str, kind: str) -> None:
    """Refuse a name other than ``<kind>_<split>_<algorithm>_results``.

    Raises:
        ValueError: If it is another.
    """
    parts = stem.split("_")
    if parts[0] != kind or parts[-1] != "results" or len(parts) < 4 or not all(parts):
        raise ValueError(
            f"'{stem}.zip': COCO's server goes by the name {kind}_<split>_<algorithm>_results.zip, "
            f"such as {kind}_test-dev2017_maskattn-unet_results.zip."
        )


def report_stem(stem: str, kind: str, findings: Findings) -> None:
    """Report what `check_stem` refuses."""
    try:
        check_stem(stem, kind)
    except ValueError as error:
        findings.error("file whose name is not as the server asks", error)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_box(value: Any) -> bool:
    return is_box(value) and min(value[2:]) >= 0
