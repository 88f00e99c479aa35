"""Bootstrap of COCO AP: 1,000 resamples at once against re-running COCOeval.accumulate for each.

A generated result of the size of COCO val: 5,000 images, 80 classes, about 36,000 objects (with
crowds) and 200,000 detections; boxes, and scores of four digits, so that some are tied. The
reference is pycocotools: evaluated once, untimed, then for a resample its per-image results are
listed as often as the images were drawn (under 1 % of the time) and ``accumulate`` runs. The time
for all resamples is EXTRAPOLATED from a few; the same ones show that the values are equal. Both
sides give AP in all area ranges, AR at all limits and all classes. ``--images`` and
``--resamples`` make everything smaller.
"""

import argparse
import contextlib
import io
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Measurement, measure, print_table, report

from attnseg.evaluation.bootstrap import bounds, centred, resample_weights
from attnseg.evaluation.functional.matching import ImageMatches, area_limits, match_image
from attnseg.evaluation.scores.instances import instance_scores
from attnseg.per_image import ImageRef, PerImageTable

CLASSES = 80
SEED = 0
MAX_DETS = [1, 10, 100]
AREAS = {"s": [0.0, 32.0**2], "m": [32.0**2, 96.0**2], "l": [96.0**2, 1e10]}

Records = list[dict[str, Any]]
Image = tuple[Records, Records]


def _records(boxes: np.ndarray, labels: np.ndarray, **columns: np.ndarray) -> Records:
    corners = np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    sizes = np.maximum(corners[:, 2:] - corners[:, :2], 1)
    values = {key: column.tolist() for key, column in columns.items()}
    return [
        {
            "category_id": int(label),
            "bbox": [*corner[:2].tolist(), *size.tolist()],
            "area": float(size.prod()),
            "iscrowd": 0,
            **{key: column[i] for key, column in values.items()},
        }
        for i, (label, corner, size) in enumerate(zip(labels, corners, sizes, strict=True))
    ]


def make_image(rng: np.random.Generator, frequency: np.ndarray) -> Image:
    """Objects of a few classes, found more or less well, some twice, and false detections."""
    present = rng.choice(CLASSES, size=rng.integers(1, 5), p=frequency)
    labels = rng.choice(present, size=rng.negative_binomial(1.2, 1.2 / 8.4))
    size = np.exp(rng.uniform(np.log(8), np.log(320), (len(labels), 2)))
    corner = rng.uniform(0, (640, 480), (len(labels), 2))
    boxes = np.hstack([corner, corner + size])
    truth = _records(boxes, labels, iscrowd=(rng.random(len(labels)) < 0.01).astype(int))

    times = rng.choice([0, 1, 2, 3], len(labels), p=[0.15, 0.45, 0.3, 0.1])
    hits = np.repeat(np.arange(len(labels)), times)
    noise = rng.gamma(1.5, 0.05, len(hits))
    found = boxes[hits] + rng.normal(size=(len(hits), 4)) * noise[:, None] * np.tile(size[hits], 2)
    good = np.clip(rng.normal(0.9 - 2.5 * noise, 0.15), 0.01, 1)
    false = rng.poisson(29)
    wrong = rng.choice(np.r_[present, rng.choice(CLASSES, 4, p=frequency)], false)
    corner = rng.uniform(0, (640, 480), (false, 2))
    elsewhere = np.hstack([corner, corner + np.exp(rng.uniform(2, 5.8, (false, 2)))])
    scores = np.r_[good, rng.beta(1, 6, false)].round(4)
    detections = _records(np.vstack([found, elsewhere]), np.r_[labels[hits], wrong], score=scores)
    return truth, detections


def make_images(count: int) -> list[Image]:
    """The same images in every process."""
    rng = np.random.default_rng(SEED)
    # As in COCO: three in ten objects are persons, the rarest class is 30 times as rare as others.
    frequency = np.r_[0.3, 0.7 * _share(np.exp(-3.5 * np.linspace(0, 1, CLASSES - 1)))]
    return [make_image(rng, frequency) for _ in range(count)]


def _share(values: np.ndarray) -> np.ndarray:
    return values / values.sum()


def make_table(images: list[Image]) -> PerImageTable:
    """Match each image as the metric does."""
    limits = area_limits(AREAS)
    matches = [match_image(*image, MAX_DETS[-1], limits, "bbox") for image in images]
    arrays = {
        name: np.concatenate([m[i] for m in matches]) for i, name in enumerate(ImageMatches._fields)
    }
    for kind in ("det", "gt"):
        lengths = [len(getattr(m, f"{kind}_class")) for m in matches]
        arrays[f"{kind}_image"] = np.repeat(np.arange(len(images), dtype=np.int32), lengths)
    arrays["is_thing"] = np.ones(CLASSES, dtype=bool)
    return PerImageTable(
        metric="CocoInstanceMetric",
        prefix="coco",
        settings={"max_dets": MAX_DETS, "area_ranges": AREAS},
        classes=tuple(map(str, range(CLASSES))),
        images=tuple(ImageRef(i, "") for i in range(len(images))),
        arrays=arrays,
    )


def ours(count: int, resamples: int) -> Callable[[], dict[str, Any]]:
    """Factory: all resamples at once, in the portions of `attnseg.evaluation.bootstrap`."""
    start = time.perf_counter()
    images = make_images(count)
    made = time.perf_counter()
    table = make_table(images)
    matched = time.perf_counter()
    sizes = [sum(len(image[side]) for image in images) for side in (0, 1)]
    del images
    weights = resample_weights(count, resamples, SEED)

    def call() -> dict[str, Any]:
        parts = [instance_scores(table, weights[i : i + 100]) for i in range(0, resamples, 100)]
        point = instance_scores(table, np.ones((1, count), dtype=int))
        # KiB on Linux, bytes on macOS.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return {
            "values": {key: np.concatenate([part[key] for part in parts]) for key in parts[0]},
            "point": {key: float(value[0]) for key, value in point.items()},
            "objects": sizes[0],
            "detections": sizes[1],
            "generate": made - start,
            "match": matched - made,
            "process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        }

    return call


def reference(count: int, resamples: int) -> Callable[[], list[dict[str, float]]]:
    """Factory: each call accumulates the next resample and returns the values of all so far."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    sides = []
    for side in zip(*make_images(count), strict=True):
        annotations = [{**r, "image_id": i} for i, image in enumerate(side) for r in image]
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(count)],
            "categories": [{"id": i, "name": str(i)} for i in range(CLASSES)],
            "annotations": [{**a, "id": i} for i, a in enumerate(annotations, 1)],
        }
        sides.append(coco)
    with contextlib.redirect_stdout(io.StringIO()):
        for coco in sides:
            coco.createIndex()
        evaluation = COCOeval(*sides, "bbox")
        evaluation.params.areaRng = [[0.0, 1e10], *AREAS.values()]
        evaluation.params.areaRngLbl = ["all", *AREAS]
        evaluation.evaluate()
    matches = np.array(evaluation.evalImgs, dtype=object).reshape(-1, count)
    weights = iter(resample_weights(count, resamples, SEED))
    results: list[dict[str, float]] = []

    def call() -> list[dict[str, float]]:
        drawn = np.repeat(np.arange(count), next(weights))
        evaluation.evalImgs = matches[:, drawn].ravel().tolist()
        evaluation.params.imgIds = evaluation._paramsEval.imgIds = list(range(len(drawn)))
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        results.append(_values(evaluation.eval["precision"][..., -1], evaluation.eval["recall"]))
        return results

    return call


def _values(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else float("nan")

    values = {"AP": precision[..., 0], "AP50": precision[0, ..., 0], "AP75": precision[5, ..., 0]}
    values |= {f"AP{area}": precision[..., i] for i, area in enumerate(AREAS, 1)}
    values |= {"AR": recall[..., 0, -1]}
    values |= {f"AR@{limit}": recall[..., 0, i] for i, limit in enumerate(MAX_DETS)}
    for k in range(CLASSES):
        values[f"AP/{k}"] = precision[:, :, k, 0]
        values[f"AP50/{k}"] = precision[0, :, k, 0]
        values[f"AR/{k}"] = recall[:, k, 0, -1]
    return {key: mean(value) for key, value in values.items()}


def _largest_difference(own: dict[str, np.ndarray], theirs: list[dict[str, float]]) -> float:
    largest = 0.0
    for row, values in enumerate(theirs):
        for key, value in values.items():
            if np.isnan(value) != np.isnan(own[key][row]):
                raise RuntimeError(f"{key} of resample {row}: {own[key][row]} here, {value} there")
            largest = max(largest, float(np.nan_to_num(abs(own[key][row] - value))))
    return largest


def compare(images: int, resamples: int, threads: int, repeats: int) -> dict[str, Any]:
    """Measure both and return every figure of the report."""

    def run(factory: Callable, repeats: int) -> Measurement:
        print(f"{factory.__name__} ...", flush=True)
        return measure(factory, images, resamples, threads=threads, repeats=repeats)

    own, theirs = run(ours, 1), run(reference, repeats)
    found = own.value
    extrapolated = theirs.seconds * resamples
    low, high = bounds(centred(found["values"]["AP"], found["point"]["AP"]), 0.95)
    compared = len(theirs.value)
    print_table(
        ["", "seconds", "peak MiB"],
        [
            [f"ours, {resamples} resamples", own.seconds, own.peak_mib],
            ["COCOeval.accumulate, 1 resample", theirs.seconds, theirs.peak_mib],
            [f"COCOeval.accumulate, {resamples} resamples, EXTRAPOLATED", extrapolated, "same"],
        ],
    )
    return {
        "setting": f"{images} images, {CLASSES} classes, {found['objects']} objects, "
        f"{found['detections']} detections, {resamples} resamples; AP in 4 area ranges, AR at 3 "
        "limits, all classes",
        "ap": found["point"]["AP"],
        "ap_interval": [low, high],
        "resamples_compared": compared,
        "values_compared": compared * len(theirs.value[0]),
        "max_abs_difference": _largest_difference(found["values"], theirs.value),
        "seconds_matching_all_images": found["match"],
        "seconds": own.seconds,
        "peak_mib": own.peak_mib,
        "peak_mib_whole_process": found["process_mib"],
        "seconds_accumulate_one_resample": theirs.seconds,
        "seconds_accumulate_extrapolated": extrapolated,
        "time_ratio_extrapolated": extrapolated / own.seconds,
    }


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="timed resamples of the reference")
    args = parser.parse_args()
    if not args.resamples > args.repeats > 0:
        parser.error("--resamples must be more than --repeats, which also needs one to warm up")
    figures = compare(args.images, args.resamples, args.threads, args.repeats)
    full = (args.images, args.resamples) == (5000, 1000)
    report("bootstrap" if full else "bootstrap_custom", figures, args.threads)


if __name__ == "__main__":
    main()
