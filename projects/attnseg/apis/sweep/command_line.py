"""The command line of ``tools/sweep.py``."""

import argparse
from pathlib import Path
from typing import Any

from attnseg.apis.command import LAUNCHERS
from attnseg.apis.submit_training import add_job_arguments
from attnseg.apis.sweep import commands

_PLAN = "print the runs"
_RUN = "train the missing runs on this machine"
_SUBMIT = "send the missing runs to Slurm as one array"
_STATUS = "say what became of each run"
_TABLE = "print and write the table of the finished runs, and its page"
_TASK = "train one prepared run: what run and submit start"


def parse_args(description: str | None, tool: Path) -> dict[str, Any]:
    """Read the command line; ``command`` is the function that gets the rest.

    Args:
        description: Of the tool.
        tool: Its file, which the processes of runs start with; ``train.py`` lies beside it.
    """
    parser = argparse.ArgumentParser(description=description)
    added = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, text: str) -> argparse.ArgumentParser:
        sub = added.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if name != "task":
            sub.add_argument("sweep", help="file, or path or name below configs/sweeps/")
            sub.add_argument("--small", action="store_true", help="the file's small form")
            sub.add_argument("--out", help="parent of the sweep's folder (default: ./work_dirs)")
            sub.add_argument("--data-dir", help="takes the place of the leading data/")
        return sub

    add("plan", commands.run_plan, _PLAN)
    run = add("run", commands.run_runs, _RUN)
    run.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    run.add_argument("--fail-fast", action="store_true", help="start none after a failure")
    run.set_defaults(tool=tool)
    submit = add("submit", commands.run_submit, _SUBMIT)
    add_job_arguments(submit)
    submit.add_argument("--max-parallel", type=int, help="runs at the same time")
    submit.set_defaults(tool=tool)
    status = add("status", commands.run_status, _STATUS)
    status.add_argument("--json", action="store_true", dest="as_json")
    table = add("table", commands.run_table, _TABLE)
    table.add_argument("--to", help="folder of the files (default: the sweep's)")
    task = add("task", commands.run_one, _TASK)
    task.add_argument("folder")
    task.add_argument("--launcher", choices=LAUNCHERS, default="none")
    task.set_defaults(script=tool.with_name("train.py"))
    return vars(parser.parse_args())
