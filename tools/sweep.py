#!/usr/bin/env python
"""Many runs from one sweep file, here or on Slurm, and their table; docs/sweeps.md."""

from attnseg.compat import setup_env

setup_env()

import argparse
from pathlib import Path

from attnseg.apis.command import LAUNCHERS, run_command
from attnseg.apis.sweep.commands import run_one, run_plan, run_runs, run_status


def parse_args() -> dict[str, object]:
    """Read the command line; ``command`` is its function."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        if name != "task":
            added.add_argument("sweep", help="file, or path or name below configs/sweeps/")
            added.add_argument("--small", action="store_true", help="the file's small form")
            added.add_argument("--out", help="parent of the sweep's folder (default: ./work_dirs)")
            added.add_argument("--data-dir", help="takes the place of the leading data/")
        return added

    add("plan", run_plan, "print the runs")
    run = add("run", run_runs, "train the missing runs on this machine")
    run.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    run.add_argument("--fail-fast", action="store_true", help="stop after the first failure")
    run.set_defaults(tool=Path(__file__).absolute())
    status = add("status", run_status, "say what became of each run")
    status.add_argument("--json", action="store_true", dest="as_json")
    task = add("task", run_one, "train one prepared run: what run and submit start")
    task.add_argument("folder")
    task.add_argument("--launcher", choices=LAUNCHERS, default="none")
    task.set_defaults(script=Path(__file__).absolute().with_name("train.py"))
    return vars(parser.parse_args())


def main() -> None:
    """Do what the command line says."""
    arguments = parse_args()
    arguments.pop("command")(**arguments)


if __name__ == "__main__":
    run_command(main)
