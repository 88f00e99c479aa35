#!/usr/bin/env python
"""Train a model: `python tools/train.py CONFIG [--data DIR]`."""

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import parse_run, run_command, run_parser
from attnseg.apis.experiment import build_config, run_train


def main() -> None:
    """Train as the command line says."""
    parser = run_parser(__doc__)
    parser.add_argument("--resume", nargs="?", const="auto", help="checkpoint, or nothing: newest")
    parser.add_argument("--load-from", dest="checkpoint", help="weights to start from")
    parser.add_argument("--amp", action="store_true", help="mixed precision (needs a GPU)")
    parser.add_argument(
        "--auto-scale-lr",
        nargs="?",
        const="linear",
        choices=("linear", "sqrt"),
        help="learning rate by batch and number of processes (default: linear)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--max-iters", type=int, help="length; the schedule follows, resumed or not"
    )
    length.add_argument("--max-epochs", type=int, help="the same, for configs in epochs")
    run_train(build_config(**parse_run(parser)))


if __name__ == "__main__":
    run_command(main)
