"""Training samples of mask refinement a second, and the Hausdorff distance, on one core.

Samples: from a COCO segmentation to mask, coarse mask (``erode``), packed sample, gray and Sobel
gradient; against the same published steps, taken literally with OpenCV over the whole image.
Reading the image file is in neither. Hausdorff: `region_hausdorff` against scipy's
``directed_hausdorff`` both ways, for coarse and true masks. ``--data`` is the folder of coco_mini:
its images of 640x480 and 480x640. Without it, images and objects are generated.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import measure, print_table, report

SIZE = (480, 640)


def objects(data: str | None, split: str, chosen: str, least: int, count: int) -> list[dict]:
    """Up to ``count`` samples (``img``, ``instances``, ids) before their masks are decoded."""
    if data is None:
        return generated(count)
    import cv2

    content = json.loads(Path(data, f"annotations/instances_{split}2017.json").read_text("utf-8"))
    images = {i["id"]: i for i in content["images"] if {i["height"], i["width"]} == set(SIZE)}
    anns = [a for a in content["annotations"] if a["image_id"] in images and a["area"] >= least]
    if chosen == "largest":
        first: dict[int, dict] = {}
        for ann in sorted(anns, key=lambda ann: -ann["area"]):
            first.setdefault(ann["image_id"], ann)
        anns = list(first.values())
    anns = anns[:: max(1, len(anns) // count)][:count]
    read = {
        i: cv2.imread(str(Path(data, f"{split}2017", images[i]["file_name"])))
        for i in {ann["image_id"] for ann in anns}
    }
    return [sample(read[a["image_id"]], a["image_id"], a["id"], a["segmentation"]) for a in anns]


def generated(count: int) -> list[dict]:
    """Noise images, and objects of smooth shapes as RLEs."""
    import cv2
    from pycocotools import mask as tools

    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        noise = cv2.GaussianBlur(rng.random(SIZE), (0, 0), 40)
        mask = (noise > np.quantile(noise, rng.uniform(0.6, 0.95))).astype(np.uint8, order="F")
        img = rng.integers(0, 256, (*SIZE, 3), np.uint8)
        rle = tools.encode(mask)
        found.append(sample(img, number, number, {**rle, "counts": rle["counts"].decode()}))
    return found


def sample(img: np.ndarray, img_id: int, ann_id: int, segmentation: Any) -> dict:
    """One object as the data set gives it, with its image."""
    ids = {"img_id": img_id, "ann_id": ann_id, "img_path": str(img_id)}
    return {"img": img, "instances": [{"mask": segmentation}], **ids}


def setup() -> None:
    """One core for OpenCV too."""
    import cv2

    from attnseg.compat import setup_env

    setup_env()
    cv2.setNumThreads(1)


def ours(*choice: Any) -> Callable[[], list[Any]]:
    """The transforms of the pipeline, and the channels of the preprocessor."""
    setup()
    from attnseg.datasets import CoarseMask, LoadObjectMask, PackRefinement
    from attnseg.mask_refine.encoding import gradient_magnitude, gray_levels

    samples, load, pack = objects(*choice), LoadObjectMask(), PackRefinement()
    draw = CoarseMask("erode", seed=0)

    def run() -> list[Any]:
        found = []
        for part in samples:
            packed = pack(draw(load(dict(part))))
            gradient = gradient_magnitude(gray_levels(packed["inputs"]))
            coarse = packed["data_samples"].coarse.numpy()
            found.append((np.packbits(coarse), float(gradient.mean())))
        return found

    return run


def literal(*choice: Any) -> Callable[[], list[Any]]:
    """The published steps over the whole image; without its choice of another image."""
    setup()
    import cv2
    from pycocotools import mask as tools

    from attnseg.datasets.coarse_masks import object_rng

    samples = objects(*choice)

    def decode(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
        if isinstance(segmentation, list):
            segmentation = tools.merge(tools.frPyObjects(segmentation, *size))
        elif isinstance(segmentation["counts"], list):
            segmentation = tools.frPyObjects(segmentation, *size)
        return tools.decode(segmentation)

    def ellipse(size: int) -> np.ndarray:
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))

    def erode(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        band = int(rng.integers(30, 41))
        rows, columns = np.nonzero(mask - cv2.erode(mask, ellipse(band)))
        coarse = mask.copy()
        for _ in range(int(rng.integers(2, 7)) if len(rows) else 0):
            at = int(rng.integers(len(rows)))
            bite = np.zeros_like(mask)
            radius = int(rng.integers(band // 4, band // 2 + 1))
            cv2.circle(bite, (int(columns[at]), int(rows[at])), radius, 1, -1)
            coarse &= 1 - bite
        opening = ellipse(int(rng.integers(band // 2, band + 1)))
        coarse = cv2.morphologyEx(coarse, cv2.MORPH_OPEN, opening) * 255
        blurred = cv2.GaussianBlur(coarse, (0, 0), float(rng.uniform(6, 12)))
        return (blurred > 127).astype(np.uint8)

    def run() -> list[Any]:
        found = []
        for part in samples:
            mask = np.ascontiguousarray(decode(part["instances"][0]["mask"], part["img"].shape[:2]))
            coarse = erode(mask, object_rng(0, part["img_id"], part["ann_id"]))
            gray = cv2.cvtColor(part["img"], cv2.COLOR_BGR2GRAY)
            slopes = [cv2.Sobel(gray, cv2.CV_32F, *d, ksize=3) for d in ((1, 0), (0, 1))]
            gradient = np.sqrt(slopes[0] ** 2 + slopes[1] ** 2)
            gradient /= gradient.max() + 1e-8
            level = gray.astype(np.float32) / 255
            assert level.dtype == np.float32
            found.append((np.packbits(coarse), float(gradient.mean())))
        return found

    return run


def pairs(*choice: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Coarse and true masks."""
    setup()
    from attnseg.datasets import CoarseMask, LoadObjectMask

    load, draw = LoadObjectMask(), CoarseMask("erode", seed=0)
    found = [draw(load(dict(part))) for part in objects(*choice)]
    return [(r["coarse_mask"].astype(bool), r["gt_mask"].astype(bool)) for r in found]


def hausdorff_ours(*choice: Any) -> Callable[[], list[float]]:
    """By two distance transforms."""
    masks = pairs(*choice)
    from attnseg.evaluation.functional import region_hausdorff

    return lambda: [region_hausdorff(*pair) for pair in masks]


def hausdorff_scipy(*choice: Any) -> Callable[[], list[float]]:
    """By pairs of pixels, as the published code computes it."""
    masks = pairs(*choice)
    from scipy.spatial.distance import directed_hausdorff

    def one(first: np.ndarray, second: np.ndarray) -> float:
        points = np.argwhere(first), np.argwhere(second)
        return max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])

    return lambda: [one(*pair) for pair in masks]


def compare_samples(choice: tuple, options: dict[str, int]) -> dict[str, Any]:
    """Rates of both, and whether masks and gradients agree."""
    mine, theirs = measure(ours, *choice, **options), measure(literal, *choice, **options)
    count = len(mine.value)
    # Of masks that are too small the published code takes another image, ours draws again.
    sums = [int(np.unpackbits(mask).sum()) for mask, _ in theirs.value]
    kept = [i for i, pixels in enumerate(sums) if pixels >= 50]
    differ = [int(np.unpackbits(mine.value[i][0] ^ theirs.value[i][0]).sum()) for i in kept]
    return {
        "samples": count,
        "samples_per_second": count / mine.seconds,
        "literal_per_second": count / theirs.seconds,
        "time_ratio": theirs.seconds / mine.seconds,
        "kept_by_the_literal_recipe": len(kept),
        # The literal blur of 8 bits rounds.
        "most_pixels_that_differ_in_these": max(differ, default=0),
        "median_pixels_that_differ_in_these": float(np.median(differ or [0])),
        "max_abs_difference_gradient": max(
            abs(a[1] - b[1]) for a, b in zip(mine.value, theirs.value, strict=True)
        ),
    }


def compare_hausdorff(choice: tuple, options: dict[str, int]) -> dict[str, Any]:
    """Times of both, and the largest difference."""
    mine = measure(hausdorff_ours, *choice, **options)
    theirs = measure(hausdorff_scipy, *choice, **{**options, "repeats": 1})
    return {
        "pairs": len(mine.value),
        "seconds_per_pair": mine.seconds / len(mine.value),
        "scipy_seconds_per_pair": theirs.seconds / len(mine.value),
        "time_ratio": theirs.seconds / mine.seconds,
        "max_abs_difference": float(np.abs(np.subtract(mine.value, theirs.value)).max()),
    }


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of coco_mini; generated images without")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    options = {"repeats": args.repeats, "threads": 1}
    sets = {"objects of 1024 pixels and more": ("all", 1024)}
    if args.data:
        sets["largest of each image"] = ("largest", 0)
    figures = {}
    for name, (chosen, least) in sets.items():
        choice = (args.data, "val", chosen, least, args.samples)
        figures[name] = compare_samples(choice, options)
    choice = (args.data, "val", "largest", 0, args.pairs)
    distances = compare_hausdorff(choice, options)
    print_table(
        ["samples", "a second", "literal", "ratio", "pixels that differ at most"],
        [
            [
                name,
                row["samples_per_second"],
                row["literal_per_second"],
                row["time_ratio"],
                row["most_pixels_that_differ_in_these"],
            ]
            for name, row in figures.items()
        ],
    )
    print_table(
        ["Hausdorff, s a pair", "scipy", "ratio", "difference"],
        [[distances[k] for k in ("seconds_per_pair", "scipy_seconds_per_pair", "time_ratio",
                                 "max_abs_difference")]],
    )  # fmt: skip
    usual = args.data is not None and (args.samples, args.pairs) == (200, 40)
    report(
        "refinement_pipeline" if usual else "refinement_pipeline_custom",
        {"setting": "640x480, one core", "samples": figures, "hausdorff": distances},
        threads=1,
    )


if __name__ == "__main__":
    main()
