"""The doctor on annotations of COCO's size, against pycocotools: loading them, and decoding each.

A generated instance file in COCO's mix: 91 % polygons of 26 points on average, 8 % compressed
run-length codes, 1 % crowds as lists of runs; with ``--full`` 118,287 images and 860,001 objects as
train2017 has them, 0.5 GB. Faults of four kinds are planted, which the doctor has to count exactly.

The doctor runs as ``tools/doctor.py data CONFIG --no-images`` does. The reference is what one can
do with pycocotools: ``COCO(file)``, which checks nothing, and ``annToMask`` of each object, which
shows what does not decode. Its time for all objects is EXTRAPOLATED from ``--decoded`` of them.
Both use one core; their CPU time is compared, since minutes of wall time depend on what else the
machine does.
"""

import argparse
import contextlib
import io
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import measure, print_table, report
from pycocotools import mask as rle_tools

SIZES = ((480, 640), (640, 480), (427, 640))  # height, width
FULL = (118_287, 860_001)
CLASSES = 80
PLANTED = 25  # of each kind
KINDS = ("polygon-odd", "unknown-category", "annotation-id-twice", "box-beside")
_POOL = 4000  # different objects of each image size


def make_file(path: Path, images: int, objects: int, seed: int = 0) -> None:
    """Write the file, and an empty image file for each image."""
    rng = np.random.default_rng(seed)
    pools = [[_object(size, rng) for _ in range(_POOL)] for size in SIZES]
    chosen = rng.integers(0, _POOL, objects).tolist()
    classes = rng.integers(1, CLASSES + 1, objects).tolist()
    owners = np.sort(rng.integers(0, images, objects)).tolist()
    folder = path.parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"images": [')
        for number in range(images):
            height, width = SIZES[number % len(SIZES)]
            name = f"{number:012d}.jpg"
            (folder / name).touch()
            image = {"id": number, "file_name": name, "height": height, "width": width}
            file.write(", " * (number > 0) + json.dumps(image))
        file.write('], "annotations": [')
        for number, (owner, kind, label) in enumerate(zip(owners, chosen, classes, strict=True)):
            text = pools[owner % len(SIZES)][kind]
            own, plant = number, number // 7 if number % 7 == 0 else len(KINDS) * PLANTED
            if plant < len(KINDS) * PLANTED:
                which = KINDS[plant % len(KINDS)]
                label = 99 if which == "unknown-category" else label
                own = number - 1 if which == "annotation-id-twice" else own
                if which == "polygon-odd":
                    text = '"bbox": [1, 1, 8, 8], "area": 64, "segmentation": [[1, 1, 9, 1, 9]]'
                elif which == "box-beside":
                    text = text.replace('"bbox": [', '"bbox": [900, 9, 9, 9], "old": [')
            head = f'{{"id": {own}, "image_id": {owner}, "category_id": {label}, '
            file.write(", " * (number > 0) + head + text + "}")
        names = [{"id": number, "name": f"class {number}"} for number in range(1, CLASSES + 1)]
        file.write(f'], "categories": {json.dumps(names)}}}')


def _object(size: tuple[int, int], rng: np.random.Generator) -> str:
    """Segmentation, box and area of a random object, as JSON without braces."""
    height, width = size
    radius = np.exp(rng.uniform(np.log(6), np.log(120), 2))
    centre = rng.uniform((0, 0), (width, height))
    count = max(4, int(rng.lognormal(3.0, 0.7)))
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    rim = rng.uniform(0.7, 1.0, (count, 1)) * radius
    points = np.clip(centre + rim * np.stack([np.cos(angles), np.sin(angles)], 1), 0, size[::-1])
    polygon = points.round(2).ravel().tolist()
    rle = rle_tools.merge(rle_tools.frPyObjects([polygon], height, width))
    form, crowd = rng.random(), 0
    if form < 0.91 or not rle_tools.area(rle):
        low, high = points.min(0), points.max(0)
        mask, box = [polygon], [*low, *(np.maximum(high - low, 1))]
    else:
        box, crowd = rle_tools.toBbox(rle), int(form > 0.99)
        mask = {"size": [height, width], "counts": rle["counts"].decode()}
        if crowd:
            flat = np.r_[0, rle_tools.decode(rle).ravel(order="F"), 2]
            edges = np.flatnonzero(np.diff(flat.astype(int)))
            mask["counts"] = np.diff(np.r_[0, edges[:-1], height * width]).tolist()
    value = {
        "bbox": [round(float(v), 2) for v in box],
        "area": max(1.0, float(rle_tools.area(rle))),
        "iscrowd": crowd,
        "segmentation": mask,
    }
    return json.dumps(value)[1:-1]


def doctor(file: str) -> Callable[[], dict[str, Any]]:
    """Factory: count of each finding of the doctor, its CPU time and the peak of the process."""
    from mmengine.config import Config

    from attnseg.compat import setup_env

    setup_env()
    from attnseg.apis.doctor.data import check_data

    data = {
        "type": "attnseg.CocoInstanceDataset",
        "ann_file": file,
        "data_prefix": {"img": str(Path(file).parent / "images")},
        "pipeline": [{"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}],
    }
    cfg = Config({"train_dataloader": {"dataset": data}, "default_scope": "mmdet"})

    def call() -> dict[str, Any]:
        start = time.process_time()
        found = {f.code: f.count for f in check_data(cfg, images=False).findings}
        # KiB on Linux, bytes on macOS.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return {
            "findings": found,
            "cpu_seconds": time.process_time() - start,
            "process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        }

    return call


def reference(file: str, decoded: int) -> Callable[[], tuple[float, float, int]]:
    """Factory: CPU seconds of loading and of decoding some objects, and how many these are."""
    from pycocotools.coco import COCO

    def call() -> tuple[float, float, int]:
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(file)
        loaded = time.process_time()
        anns = coco.dataset["annotations"]
        part = anns[:: max(1, len(anns) // decoded)]
        for ann in part:
            coco.annToMask(ann)
        return loaded - start, time.process_time() - loaded, len(part)

    return call


def compare(file: Path, objects: int, decoded: int, threads: int) -> dict[str, Any]:
    """Measure both and return every figure of the report."""
    own = measure(doctor, str(file), repeats=1, threads=threads)
    theirs = measure(reference, str(file), decoded, repeats=1, threads=threads)
    loading, decoding, count = theirs.value
    whole, cpu = loading + decoding * objects / count, own.value["cpu_seconds"]
    print_table(
        ["", "CPU seconds", "peak MiB"],
        [
            ["doctor, all checks without images", cpu, own.peak_mib],
            ["pycocotools, COCO() alone", loading, theirs.peak_mib],
            ["pycocotools, COCO() and annToMask, EXTRAPOLATED", whole, "same"],
        ],
    )
    return {
        "seconds": own.seconds,
        "cpu_seconds": cpu,
        "peak_mib": own.peak_mib,
        "peak_mib_whole_process": own.value["process_mib"],
        "findings": own.value["findings"],
        "planted": dict.fromkeys(KINDS, PLANTED),
        "cpu_seconds_coco_loading": loading,
        "peak_mib_coco_loading": theirs.peak_mib,
        "objects_decoded": count,
        "cpu_seconds_coco_and_decoding_extrapolated": whole,
        "cpu_time_ratio_extrapolated": whole / cpu,
        "memory_ratio": theirs.peak_mib / own.peak_mib,
    }


def main() -> None:
    """Parse the command line, write the file, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--objects", type=int, default=36_000)
    parser.add_argument("--full", action="store_true", help="images and objects of train2017")
    parser.add_argument("--decoded", type=int, default=20_000, help="objects of the reference")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    images, objects = FULL if args.full else (args.images, args.objects)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "instances.json"
        make_file(file, images, objects)
        size = file.stat().st_size / 2**20
        print(f"{images:,} images, {objects:,} objects, {size:.0f} MiB", flush=True)
        figures = compare(file, objects, min(args.decoded, objects), args.threads)
    setting = f"{images} images, {objects} objects, {size:.0f} MiB, --no-images"
    report(
        "doctor" if args.full else "doctor_custom", {"setting": setting, **figures}, args.threads
    )


if __name__ == "__main__":
    main()
