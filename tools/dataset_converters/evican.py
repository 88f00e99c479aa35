"""Convert EVICAN2: ``python tools/dataset_converters/evican.py data/evican``.

Writes ``annotations/instances_{train,val,eval_easy,eval_medium,eval_difficult}.json``.
"""

import argparse

from attnseg.apis.command import input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder with instances_*_EVICAN2.json and the images below it")
    parser.add_argument("--out", help="folder to write annotations/ into (default: root)")
    parser.add_argument("--merge", action="store_true", help="make nuclei and cells one class")
    args = parser.parse_args()
    setup_env()
    from attnseg.datasets.converters.evican import convert_evican

    with input_errors():
        lines = convert_evican(args.root, args.out, args.merge)
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    run_command(main)
