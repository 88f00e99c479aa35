"""Convert ADE20K: ``python tools/dataset_converters/ade20k.py data/ADEChallengeData2016``."""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert with mmdet's converter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder ADEChallengeData2016")
    parser.add_argument("--task", choices=("panoptic", "instance"), default="panoptic")
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.ade20k import convert_ade20k

    with input_errors(RuntimeError):
        convert_ade20k(args.root, args.task)


if __name__ == "__main__":
    run_command(main)
