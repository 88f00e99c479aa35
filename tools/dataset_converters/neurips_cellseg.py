"""Convert NeurIPS22-CellSeg: ``python tools/dataset_converters/neurips_cellseg.py DATA_FOLDER``.

Turns label maps into COCO run-length codes: ``annotations/instances_{train,val}.json``.
"""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder with Training-labeled/ (and Tuning/)")
    parser.add_argument("--out", help="folder to write annotations/ into (default: root)")
    parser.add_argument("--val-fraction", type=float, default=0.1, help="without Tuning/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.neurips_cellseg import convert_neurips_cellseg

    with input_errors():
        lines = convert_neurips_cellseg(**vars(args))
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    run_command(main)
