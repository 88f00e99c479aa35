"""The missing runs of a sweep as one Slurm array."""

import json
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attnseg._atomic import write_json, write_text
from attnseg.apis.command import UsageError
from attnseg.apis.slurm import SlurmJob, job_states, submit
from attnseg.apis.submit_training import default_tasks
from attnseg.apis.sweep.plan import Run
from attnseg.apis.sweep.state import State
from attnseg.apis.sweep.task import write_task

FOLDER, COMMANDS, SUBMISSION = "slurm", "commands.txt", "submission.json"
_LINE = 'eval "$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {file})"'


def array_job(
    name: str,
    folder: Path,
    runs: Sequence[Run],
    tool: Path,
    max_parallel: int | None = None,
    sbatch: Sequence[str] = (),
    **options: Any,
) -> tuple[SlurmJob, str]:
    """The job, and the text of its ``commands.txt``: array task i runs line i, counted from 0.

    Args:
        name: Of the job.
        folder: Of the submission, which gets the commands, the script and the logs.
        runs: At least one.
        tool: ``tools/sweep.py``.
        max_parallel: Array tasks at the same time; None for no limit.
        sbatch: Further options of ``sbatch``.
        options: Of ``SlurmJob``.

    Raises:
        UsageError: A number is not positive.
    """
    if max_parallel is not None and max_parallel < 1:
        raise UsageError(f"--max-parallel: expected at least 1, got {max_parallel}.")
    given = {key: value for key, value in options.items() if value is not None}
    given.setdefault("tasks_per_node", default_tasks(given.get("gpus_per_node")))
    launcher = "slurm" if given["tasks_per_node"] * given.get("nodes", 1) > 1 else "none"
    command = [sys.executable, str(tool), "task"]
    lines = [shlex.join([*command, str(run.folder), "--launcher", launcher]) for run in runs]
    limit = f"%{max_parallel}" if max_parallel else ""
    job = SlurmJob(
        name=name,
        command=_LINE.format(file=shlex.quote(str(folder / COMMANDS))),
        folder=folder,
        array=f"0-{len(runs) - 1}{limit}",
        extra=tuple(sbatch),
        **given,
    )
    return job, "".join(f"{line}\n" for line in lines)


def submit_runs(
    name: str, sweep_folder: Path, runs: Sequence[Run], tool: Path, **options: Any
) -> tuple[str, Path]:
    """Send runs to Slurm.

    Args:
        name: Of the job.
        sweep_folder: Gets a folder for this submission.
        runs: At least one.
        tool: ``tools/sweep.py``.
        options: See :func:`array_job`.

    Returns:
        The job's id and the submission's folder.

    Raises:
        UsageError: Slurm is missing or refuses, or an option is wrong.
    """
    folder = submission_folder(sweep_folder)
    job, commands = array_job(name, folder, runs, tool, **options)
    for run in runs:
        write_task(run)
    write_text(folder / COMMANDS, commands)
    number = submit(job)
    write_json(folder / SUBMISSION, {"job": number, "runs": [run.name for run in runs]})
    return number, folder


def submission_folder(sweep_folder: Path) -> Path:
    """A new folder's name: lines of an earlier array that still waits stay what they are."""
    return sweep_folder / FOLDER / datetime.now().strftime("%Y%m%d_%H%M%S_%f")


def slurm_queue(sweep_folder: Path, open_runs: Sequence[Path]) -> dict[Path, str]:
    """Run folder -> Slurm's word for its latest array task, where Slurm still knows it.

    Args:
        sweep_folder: Of the sweep.
        open_runs: Only submissions with one of these run folders are asked about.
    """
    queue: dict[Path, str] = {}
    for file in sorted(sweep_folder.glob(f"{FOLDER}/*/{SUBMISSION}")):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            folders = [sweep_folder / name for name in found["runs"]]
            job = str(found["job"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if set(folders) & set(open_runs):
            states = job_states(job)
            for index, folder in enumerate(folders):
                word = states.get(f"{job}_{index}") or states.get(job)
                if word:
                    queue[folder] = word
    return queue


def missing(runs: Sequence[Run], states: Sequence[State]) -> list[Run]:
    """The runs that are neither finished, nor at work, nor in the queue."""
    settled = ("done", "running", "queued")
    pairs = zip(runs, states, strict=True)
    return [run for run, state in pairs if state.name not in settled]
