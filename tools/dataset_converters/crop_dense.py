"""Cut images of many cells: ``python tools/dataset_converters/crop_dense.py data/livecell OUT``.

Writes ``OUT/annotations/instances_*.json`` and, of images with too many objects, parts into
``OUT/images``. Takes the place of the data folder: ``tools/train.py CONFIG --data OUT``.
"""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and cut."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder with annotations/instances_*.json")
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--images", help="folder of the images (default: root)")
    parser.add_argument("--max-objects", type=int, default=100, help="of an image")
    parser.add_argument("--min-side", type=int, default=64, help="of a part, in pixels")
    parser.add_argument("--min-share", type=float, default=0.1, help="of a cut object, to be kept")
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.crops import crop_dense

    with input_errors():
        lines = crop_dense(**vars(args))
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    run_command(main)
