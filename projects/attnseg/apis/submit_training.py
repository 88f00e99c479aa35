"""From the command line of ``tools/slurm/submit.py`` to a Slurm job that trains."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError, parse_run, train_parser
from attnseg.apis.experiment import build_config, find_config
from attnseg.apis.slurm import SlurmJob

_OWN = ("--work-dir", "--launcher")


def submission_parser(description: str | None) -> argparse.ArgumentParser:
    """Parser of a submission; everything after ``--`` is the training's."""
    parser = argparse.ArgumentParser(
        description=description, usage="%(prog)s CONFIG [options] [-- options of tools/train.py]"
    )
    parser.add_argument("config", help="as for tools/train.py")
    parser.add_argument("--work-dir", help="run folder (default: ./work_dirs/<config>)")
    parser.add_argument("--name", help="name of the job (default: the config's)")
    add_job_arguments(parser)
    parser.add_argument(
        "--array", help="such as 0-4%%2: one training per number, which is its seed and subfolder"
    )
    return parser


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """What each job needs and may do, by the names that ``SlurmJob`` has, and ``dry_run``."""
    parser.add_argument("--partition")
    parser.add_argument("--account")
    parser.add_argument("--qos")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--gpus-per-node", type=int, default=0, help="0 (default): CPU nodes")
    parser.add_argument("--tasks-per-node", type=int, help="default: one per GPU, at least one")
    parser.add_argument("--cpus-per-task", type=int)
    parser.add_argument("--mem", dest="memory", help="memory per node, such as 64G")
    parser.add_argument("--time", help="limit, such as 24:00:00")
    parser.add_argument(
        "--requeue",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="start again after preemption or a kill (default: yes)",
    )
    parser.add_argument(
        "--grace", type=int, default=120, help="seconds before the limit, to save (default: 120)"
    )
    parser.add_argument(
        "--max-restarts", type=int, default=3, help="after kills by a signal (default: 3)"
    )
    parser.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="further option of sbatch: --sbatch=--constraint=a100; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the script, send nothing")


def default_tasks(gpus_per_node: int | None) -> int:
    """What ``--tasks-per-node`` is where it is not given: a process per GPU, at least one."""
    return max(1, gpus_per_node or 0)


def training_job(train: Path, arguments: argparse.Namespace, given: list[str]) -> SlurmJob:
    """The job that an already parsed command line describes; config and options are checked.

    Args:
        train: ``tools/train.py``.
        arguments: Of :func:`submission_parser`.
        given: What stood after ``--``.

    Raises:
        UsageError: The config is not found, does not take an option, or an option of the job
            itself stands after ``--``.
    """
    options: dict[str, Any] = dict(vars(arguments))
    config = find_config(options.pop("config"))
    for word in given:
        if word.partition("=")[0] in _OWN:
            raise UsageError(
                f"{word} stands after '--': give --work-dir before it; the launcher is slurm."
            )
    parsed = parse_run(train_parser(None), [str(config), *given])
    work_dir = options.pop("work_dir")
    folder = Path(build_config(**{**parsed, "work_dir": work_dir}).work_dir).absolute()
    words = [sys.executable, "-u", str(train), str(config), "--launcher", "slurm", "--resume"]
    command = shlex.join([*words, *given])
    if options["array"]:
        # The number is known in the task only.
        command += f' --work-dir {shlex.quote(str(folder))}/"$SLURM_ARRAY_TASK_ID"'
        if parsed["seed"] is None:
            command += ' --seed "$SLURM_ARRAY_TASK_ID"'
    else:
        command += f" --work-dir {shlex.quote(str(folder))}"
    del options["dry_run"]
    if options["name"] is None:
        options["name"] = config.stem
    if options["tasks_per_node"] is None:
        options["tasks_per_node"] = default_tasks(options["gpus_per_node"])
    extra = tuple(options.pop("sbatch"))
    return SlurmJob(command=command, folder=folder, extra=extra, **options)
