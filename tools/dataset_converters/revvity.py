"""Convert Revvity-25: ``python tools/dataset_converters/revvity.py data/revvity``.

Writes ``annotations/instances_{train,val}.json``, split at random where the set is not.
"""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder with the images and COCO json below it")
    parser.add_argument("--ann-file", help="the json, if there are several")
    parser.add_argument("--out", help="folder to write annotations/ into (default: root)")
    parser.add_argument("--val-fraction", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--merge", action="store_true", help="make all categories one class")
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.revvity import convert_revvity

    with input_errors():
        lines = convert_revvity(**vars(args))
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    run_command(main)
