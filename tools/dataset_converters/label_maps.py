"""Make a data set of images and label maps: ``label_maps.py IMAGES LABELS --out data/mine``.

Label maps are images of the objects' numbers, 0 for background, named as their images (also with
_label, _mask, _masks or _cp_masks behind the name). Images are copied unchanged.
"""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", help="folder of the images: TIFF, PNG, JPEG or BMP")
    parser.add_argument("labels", help="folder of the label maps")
    parser.add_argument("--out", required=True, help="data folder to make")
    parser.add_argument("--name", default="cell", help="of the class (default: cell)")
    parser.add_argument("--val-fraction", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.label_maps import convert_label_maps

    with input_errors():
        lines = convert_label_maps(**vars(args))
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    run_command(main)
