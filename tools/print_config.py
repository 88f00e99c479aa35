#!/usr/bin/env python
"""A config with the file that set each key, or the difference of two; docs/configs.md."""

import argparse
import sys

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import run_command
from attnseg.apis.config_diff import run_diff
from attnseg.apis.config_print import run_show

COMMANDS = ("show", "diff")


def parse_args(words: list[str]) -> dict[str, object]:
    """Read the command line; without the name of a command it is ``show``."""
    from attnseg.apis.config_errors import OptionAction

    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command", metavar="show|diff")
    show = commands.add_parser("show", help="print a config (the default)")
    show.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    show.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    show.add_argument("--key", help="only this part, such as model.backbone")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--plain", action="store_true", help="the merged config, without sources")
    diff = commands.add_parser("diff", help="compare two; exit status 1 if they differ")
    diff.add_argument("first", metavar="A", help="config or run folder")
    diff.add_argument("second", metavar="B")
    for command in (form, diff):
        command.add_argument("--json", dest="as_json", action="store_true")
    if words and words[0] not in (*COMMANDS, "-h", "--help"):
        words = ["show", *words]
    return vars(parser.parse_args(words))


def main() -> None:
    """Do what the command line says."""
    arguments = parse_args(sys.argv[1:])
    if arguments.pop("command") == "show":
        run_show(**arguments)
    elif run_diff(**arguments):
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
