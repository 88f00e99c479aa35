"""Convert LIVECell: ``python tools/dataset_converters/livecell.py data/livecell``.

Finds every image, compares sizes and writes ``annotations/instances_{train,val,test}.json``.
"""

import argparse

from attnseg.apis.command import UsageError, input_errors, run_command
from attnseg.compat import setup_env


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder with livecell_coco_*.json and the images below it")
    parser.add_argument("--images", help="folder of the images (default: root)")
    parser.add_argument("--out", help="folder to write annotations/ into (default: root)")
    parser.add_argument("--cell-types", nargs="+", default=[], help="keep these, such as A172")
    parser.add_argument(
        "--ann-file",
        action="append",
        default=[],
        metavar="SPLIT=FILE",
        help="in place of livecell_coco_<split>.json; may be given for each split",
    )
    args = parser.parse_args()
    wrong = [text for text in args.ann_file if not all(text.partition("="))]
    if wrong:
        raise UsageError(f"--ann-file {wrong[0]}: write it as SPLIT=FILE, such as train=a172.json.")
    ann_files = dict(text.split("=", 1) for text in args.ann_file)
    setup_env()
    from attnseg.datasets.converters.livecell import convert_livecell

    with input_errors():
        lines = convert_livecell(args.root, args.images, args.out, args.cell_types, ann_files)
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    run_command(main)
