#!/usr/bin/env python
"""Refine the strokes of a folder of images.

`python tools/refine_images.py --config CONFIG --weights FILE --images DIR --strokes DIR --out DIR`.
A stroke is a PNG of the image's stem and size; every pixel but 0 belongs to it. Masks are PNGs of
0 and 255. Exit status 1 if a file could not be done; the others are.
"""

import argparse

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.experiment import run_command
from attnseg.apis.refine_images import refine_folder
from attnseg.apis.refiner import MaskRefiner, add_model_arguments


def main() -> None:
    """Refine as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_arguments(parser)
    parser.add_argument("--images", required=True, help="folder of the images")
    parser.add_argument("--strokes", required=True, help="folder of PNGs of the images' stems")
    parser.add_argument("--out", required=True, help="folder of the masks")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="leave out masks that are there")
    existing.add_argument("--overwrite", action="store_true", help="write masks anew")
    args = parser.parse_args()
    refiner = MaskRefiner(args.config, args.weights, args.device, args.cfg_options)
    report = refine_folder(
        refiner, args.images, args.strokes, args.out, args.resume, args.overwrite
    )
    print(f"{args.out}: {len(report.written)} masks written", end="")
    print(f", {len(report.skipped)} were there already" if report.skipped else "")
    if report.empty:
        print(f"nothing was found in {len(report.empty)} of them: {', '.join(report.empty)}")
    for name, reason in report.failed.items():
        print(f"not done: {name}: {reason}")
    if report.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
