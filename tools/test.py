#!/usr/bin/env python
"""Evaluate a checkpoint: `python tools/test.py CONFIG CHECKPOINT [--data DIR]`."""

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import parse_run, run_command, run_parser
from attnseg.apis.experiment import build_config, run_test


def main() -> None:
    """Evaluate as the command line says."""
    parser = run_parser(__doc__)
    parser.add_argument("checkpoint", help="weights to evaluate (.pth or .safetensors)")
    parser.add_argument("--show-dir", help="draw the predictions into this folder")
    parser.add_argument(
        "--save-predictions", metavar="DIR", help="write the predictions into this folder"
    )
    parser.add_argument("--tta", action="store_true", help="merge predictions of flipped images")
    run_test(build_config(**parse_run(parser)))


if __name__ == "__main__":
    run_command(main)
