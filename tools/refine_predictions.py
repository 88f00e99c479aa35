#!/usr/bin/env python
"""Refine the masks of any model's COCO results file.

`python tools/refine_predictions.py RESULTS.json --images DIR --config CONFIG --weights FILE --out
REFINED.json --ann-file ANNOTATIONS.json` prints AP and boundary AP before and after. RESULTS may
also be the zip file of `tools/submit.py pack coco-instance`. Order, scores and other fields stay;
an object whose refined mask is empty keeps the old one.
"""

import argparse
from pathlib import Path

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.experiment import UsageError, input_errors, run_command
from attnseg.apis.refine_predictions import (
    find_images,
    read_results,
    refine_results,
    score_results,
    write_results,
)
from attnseg.apis.refiner import MaskRefiner, add_model_arguments
from attnseg.coco_files import read_coco_json
from attnseg.engine.atomic import write_json


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", help="COCO results json, or the zip file of one")
    add_model_arguments(parser)
    parser.add_argument("--images", required=True, help="folder of the images")
    parser.add_argument("--out", required=True, help="json to write; replaced if it exists")
    parser.add_argument(
        "--ann-file",
        help="COCO json: names the image files, and AP is printed where it has annotations; "
        "without it, images are found by the number in their name",
    )
    parser.add_argument("--min-score", type=float, default=0.0, help="refine from here on")
    parser.add_argument("--min-area", type=float, default=0.0, help="in pixels, likewise")
    parser.add_argument("--batch-size", type=int, default=8, help="objects at once (default: 8)")
    parser.add_argument(
        "--max-dets",
        type=int,
        nargs="+",
        default=[1, 10, 100],
        help="detections an image and class for AP, the last counts (default: COCO's 1 10 100)",
    )
    parser.add_argument("--scores", help="json to write AP before and after to")
    return parser.parse_args()


def main() -> None:
    """Refine as the command line says."""
    args = parse_args()
    if Path(args.out).resolve() == Path(args.results).resolve():
        raise UsageError("--out is the file to be read: give another name.")
    if args.batch_size < 1 or min(args.max_dets) < 1 or sorted(args.max_dets) != args.max_dets:
        raise UsageError("--batch-size and --max-dets: positive numbers are needed, rising ones.")
    if args.scores and not args.ann_file:
        raise UsageError("--scores needs --ann-file: AP is measured on its annotations.")
    records = read_results(args.results)
    truth = None
    if args.ann_file:
        with input_errors():
            truth = read_coco_json(args.ann_file, "instances", ("image.file_name",))
        if args.scores and not truth["annotations"]:
            raise UsageError(f"'{args.ann_file}' has no annotations: --scores cannot be measured.")
    ids = list(dict.fromkeys(record["image_id"] for record in records))
    images = find_images(args.images, ids, truth and truth["images"])
    refiner = MaskRefiner(args.config, args.weights, args.device, args.cfg_options)
    refined, counts = refine_results(
        refiner, records, images, args.min_score, args.min_area, args.batch_size
    )
    write_results(args.out, refined)
    print(
        f"{args.out}: {counts['refined']} of {len(records)} masks refined; passed through: "
        f"{counts['below']} below the limits, {counts['empty']} empty before or after"
    )
    if truth is None or not truth["annotations"]:
        return
    with input_errors():
        before, after = (score_results(truth, part, args.max_dets) for part in (records, refined))
    bare = len({image["id"] for image in truth["images"]}.difference(ids))
    which = f"all {len(truth['images'])} images, {bare} of them without a result, x 100"
    print(f"{'':14}{'before':>9}{'after':>9}{'gain':>9}   {which}")
    for name, value in before.items():
        new = after[name]
        print(f"{name:14}{100 * value:9.2f}{100 * new:9.2f}{100 * (new - value):+9.2f}")
    if args.scores:
        write_json(args.scores, {"before": before, "after": after, "counts": counts})


if __name__ == "__main__":
    run_command(main)
