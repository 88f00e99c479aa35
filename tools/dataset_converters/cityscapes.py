"""Convert Cityscapes: ``python tools/dataset_converters/cityscapes.py data/cityscapes``.

Writes COCO-form instances (8 classes, and ``street_*.json`` with car, pedestrian, truck, bus and
rider) and panoptics below ``annotations/``, and the ``gtFine/*/*_gtFine_labelTrainIds.png`` of
semantic training where they are missing.
"""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder with leftImg8bit and gtFine")
    parser.add_argument("--out", help="folder to write annotations/ into (default: root)")
    parser.add_argument("--splits", nargs="+", default=["train", "val"])
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.cityscapes import convert_cityscapes

    with input_errors():
        paths = convert_cityscapes(args.root, args.out, args.splits)
    for path in paths:
        print(f"wrote {path}")


if __name__ == "__main__":
    run_command(main)
