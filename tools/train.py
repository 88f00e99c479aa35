#!/usr/bin/env python
"""Train a model: `python tools/train.py CONFIG [--data DIR]`."""

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import parse_run, run_command, train_parser
from attnseg.apis.experiment import build_config, run_train


def main() -> None:
    """Train as the command line says."""
    run_train(build_config(**parse_run(train_parser(__doc__))))


if __name__ == "__main__":
    run_command(main)
