#!/usr/bin/env python
"""Records of runs as tables, comparisons, one HTML page and a gate; docs/leaderboard.md."""

import argparse

from attnseg.apis.command import run_command
from attnseg.apis.leaderboard import run_append, run_collect, run_compare, run_gate, run_page


def parse_args() -> dict[str, object]:
    """Read the command line; ``run`` is the command's function."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: object, text: str, folders: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if folders:
            command.add_argument("paths", nargs="+", help="run folders or record files")
        return command

    collect = add("collect", run_collect, "rank runs in CSV, Markdown, JSON and LaTeX")
    collect.add_argument("--out", help="folder of the files (default: print one format)")
    collect.add_argument("--format", dest="formats", help="csv,md,json,tex (default: all, or md)")
    page = add("page", run_page, "one self-contained HTML file")
    page.add_argument("--out", required=True, help="the file")
    page.add_argument("--title", default="Leaderboard")
    page.add_argument("--images", type=int, default=6, help="worst images of each run")
    page.add_argument("--image-mib", type=float, default=16.0, help="limit for all pictures")
    for command in (collect, page):
        command.add_argument("--seeds", type=int, nargs="+", default=(), help="expected seeds")
        command.add_argument("--strict", action="store_true", help="fail if a file is skipped")
    pair = add("compare", run_compare, "two runs, with bootstrap intervals", folders=False)
    pair.add_argument("first", metavar="A", help="record file or run folder")
    pair.add_argument("second", metavar="B")
    pair.add_argument("--paired", action="store_true", help="differences image by image")
    pair.add_argument("--level", type=float, help="of the paired intervals (default 0.95)")
    pair.add_argument("--seed", type=int, help="of the paired resamples (default 0)")
    pair.add_argument("--resamples", type=int, help="paired bootstrap draws (default 1000)")
    pair.add_argument("--out", help="JSON file for the unrounded numbers")
    gate = add("gate", run_gate, "fail when a run falls below expected results")
    gate.add_argument("--expected", required=True, help="JSON file, see --write")
    gate.add_argument("--write", action="store_true", help="make the file from present records")
    gate.add_argument("--tolerance", type=float, help="with --write (default 0.01)")
    for command in (collect, page, pair, gate):
        command.add_argument(
            "--metric", nargs="+", action="extend", dest="metrics", default=[], help="keys"
        )
    for command in (collect, page):
        command.add_argument("--resamples", type=int, default=1000, help="bootstrap draws")
    append = add("append", run_append, "copy records into a shared results folder")
    append.add_argument("--to", required=True, help="results folder; nothing is overwritten")
    return vars(parser.parse_args())


def main() -> None:
    """Do what the command line says."""
    arguments = parse_args()
    arguments.pop("run")(**arguments)


if __name__ == "__main__":
    run_command(main)
