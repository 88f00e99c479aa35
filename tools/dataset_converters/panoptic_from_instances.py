"""Make panoptic annotations of a COCO instances json; all other pixels become one stuff class.

``python tools/dataset_converters/panoptic_from_instances.py IN.json OUT.json OUT_FOLDER``
"""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ann_file", help="COCO instances json")
    parser.add_argument("out_json", help="panoptic json to write")
    parser.add_argument("out_folder", help="folder for the panoptic PNGs")
    parser.add_argument("--stuff-name", default="background")
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.panoptic_from_instances import panoptic_from_instances

    with input_errors():
        panoptic_from_instances(args.ann_file, args.out_json, args.out_folder, args.stuff_name)


if __name__ == "__main__":
    run_command(main)
