#!/usr/bin/env python
"""What is wrong with this machine (`env`), or with the data of a config (`data`); docs/doctor.md.

Exit status: 0, 1 where a fault was found, 2 where the command cannot run as given.
"""

import argparse
import sys

from attnseg.apis.command import run_command


def parse_args(words: list[str]) -> dict[str, object]:
    """Read the command line; without the name of a command it is ``env``."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command", metavar="env|data")
    commands.add_parser("env", help="Python, packages, GPUs, limits, Slurm (the default)")
    data = commands.add_parser("data", help="all annotation files and images of a config")
    words = words or ["env"]
    if words[0] == "data":
        add_data_arguments(data)
    return vars(parser.parse_args(words))


def add_data_arguments(data: argparse.ArgumentParser) -> None:
    """The arguments of ``data``; ``env`` has to work where mmengine is missing."""
    from attnseg.compat import setup_env

    setup_env()
    from attnseg.apis.config_errors import OptionAction

    data.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    data.add_argument("--data", help="takes the place of the config's data_root")
    data.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    data.add_argument(
        "--no-images", dest="images", action="store_false", help="read annotation files alone"
    )
    data.add_argument("--sheet", metavar="FILE.png", help="pictures of samples with their labels")
    data.add_argument("--json", metavar="FILE", help="the report for programs")
    data.add_argument("--samples", type=int, default=12, help="pictures on the sheet (12)")
    data.add_argument("--seed", type=int, default=0, help="of the choice of samples (0)")


def main() -> None:
    """Do what the command line says."""
    arguments = parse_args(sys.argv[1:])
    if arguments.pop("command") == "env":
        from attnseg.apis.doctor.environment import run_environment

        raise SystemExit(run_environment())
    from attnseg.apis.doctor.data import run_data

    raise SystemExit(run_data(**arguments))


if __name__ == "__main__":
    run_command(main)
