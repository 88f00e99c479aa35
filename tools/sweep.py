#!/usr/bin/env python
"""Many runs from one sweep file, here or on Slurm, and their table; docs/sweeps.md."""

from attnseg.compat import setup_env

setup_env()

from pathlib import Path

from attnseg.apis.command import run_command
from attnseg.apis.sweep.command_line import parse_args


def main() -> None:
    """Do what the command line says."""
    arguments = parse_args(__doc__, Path(__file__).absolute())
    arguments.pop("command")(**arguments)


if __name__ == "__main__":
    run_command(main)
