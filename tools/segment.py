#!/usr/bin/env python
"""Segment images: `python tools/segment.py INPUT CONFIG WEIGHTS --out DIR`.

INPUT is an image or a folder of images. Label maps, COCO results and pictures go into DIR. Exit
status 1 if an image of a folder could not be done; the others are.
"""

import argparse
from pathlib import Path

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import input_errors, run_command
from attnseg.apis.config_errors import OptionAction
from attnseg.apis.segmenter import SegmentReport, segment


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", metavar="INPUT", help="image, or folder of images")
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("weights", help=".pth or .safetensors")
    parser.add_argument("--out", dest="out_dir", required=True, help="folder to write into")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: the GPU if there is one)")
    parser.add_argument("--score-thr", type=float, default=0.3, help="of objects (default: 0.3)")
    parser.add_argument("--strokes", help="to refine: PNG, or folder of the images' stems")
    parser.add_argument("--recursive", action="store_true", help="look into folders of INPUT too")
    parser.add_argument("--overwrite", action="store_true", help="replace files in DIR")
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    return parser.parse_args()


def main() -> None:
    """Segment as the command line says."""
    args = parse_args()
    # One image may be too small for a network, which torch says.
    with input_errors(RuntimeError):
        done = segment(**vars(args))
    if not isinstance(done, SegmentReport):
        done = SegmentReport(Path(args.out_dir), [done.name])
    print(f"{done.out_dir}: {len(done.written)} images segmented")
    for name, reason in done.failed.items():
        print(f"not done: {name}: {reason}")
    if done.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
