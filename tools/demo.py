#!/usr/bin/env python
"""Train, evaluate and draw panoptic MaskAttn-UNet in minutes: `python tools/demo.py`."""

import argparse

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.demo import run_demo
from attnseg.apis.experiment import run_command


def main() -> None:
    """Run the demo as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder in the demo set's layout (default: generate one)")
    parser.add_argument("--work-dir", default="work_dirs/demo", help="run folder")
    parser.add_argument("--iterations", type=int, help="training steps (default: the config's)")
    args = parser.parse_args()
    run_demo(args.data, args.work_dir, args.iterations)


if __name__ == "__main__":
    run_command(main)
