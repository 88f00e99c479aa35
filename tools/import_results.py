#!/usr/bin/env python
"""Measure result files of another program: see docs/external_results.md.

`python tools/import_results.py CONFIG RESULTS --format coco --name YOLOv9-C --version 8.3`
"""

import argparse

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import run_command
from attnseg.apis.external_formats import FORMATS
from attnseg.apis.external_results import import_results


def main() -> None:
    """Import as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="names the data set and the metrics; no model is built")
    parser.add_argument("results", help="file or folder of the program")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--name", required=True, help="of the program, as tables show it")
    parser.add_argument("--version", required=True, help="of the program and its weights")
    parser.add_argument("--data", help="takes the place of the config's data_root")
    parser.add_argument("--work-dir", help="run folder (default: work_dirs/external/<name>)")
    parser.add_argument("--class-names", nargs="+", help="the program's classes in its order")
    parser.add_argument("--class-name", help="class of all instances, for programs without classes")
    parser.add_argument("--strict", action="store_true", help="refuse results that lack an image")
    parser.add_argument("--save-predictions", metavar="DIR", help="for pictures and submissions")
    path, metrics, missing = import_results(**vars(parser.parse_args()))
    for key, value in metrics.items():
        print(f"{key}: {value:.4f}")
    if missing:
        print(f"{len(missing)} image(s) without a result count as empty: {', '.join(missing[:20])}")
    print(f"record: {path}")


if __name__ == "__main__":
    run_command(main)
