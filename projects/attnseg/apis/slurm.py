"""Slurm jobs that go on where they were stopped: the batch script, its submission, its state."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from attnseg._atomic import write_json, write_text
from attnseg.apis.command import UsageError
from attnseg.engine.provenance import command, git_state
from attnseg.engine.signals import EXIT_STATUS

# Slurm signals all processes of a task, so this shell has to outlive what it waits for. srun's own
# status would be that of the tasks that it ends because another one failed.
_TASK = """\
trap : USR1 TERM
{command}
status=$?
if [ $status != 0 ]; then (set -C; echo $status > "$FIRST_STATUS") 2> /dev/null; fi
exit $status"""

_BODY = """
folder={folder}
job=$SLURM_JOB_ID
if [ -n "$SLURM_ARRAY_TASK_ID" ]; then job=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID; fi
export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-${{SLURM_CPUS_PER_TASK:-1}}}}
# The task that fails first writes its status here; srun then ends the others.
export FIRST_STATUS=$folder/slurm-$job.status
rm -f "$FIRST_STATUS"
# scancel, and Slurm when it requeues the job itself, end this script too: it must not requeue then.
trap ended=yes TERM

{srun}
status=$?
if [ -s "$FIRST_STATUS" ]; then status=$(cat "$FIRST_STATUS"); fi
rm -f "$FIRST_STATUS"
"""

_REQUEUE = """
again() {{
    if [ -n "$ended" ]; then exit $status; fi
    echo "job $job: $1, requeued" >&2
    scontrol requeue "$job"
    exit $status
}}

# Stopped by USR1, and saved.
if [ $status = {preempted} ]; then again "preempted"; fi
# Killed by a signal: out of memory, a crash, a lost peer. Not for ever: each leaves a line.
if [ $status -gt 128 ] && [ -z "$ended" ]; then
    echo $status >> "$folder/slurm-$job.killed"
    killed=$(wc -l < "$folder/slurm-$job.killed")
    if [ $killed -le {max_restarts} ]; then
        again "killed by signal $((status - 128)), $killed of {max_restarts} times"
    fi
    echo "job $job: killed by signal $((status - 128)) again, not requeued" >&2
fi
"""


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """What one batch job, or each task of a job array, runs and needs.

    Attributes:
        name: Name of the job in Slurm's lists.
        command: One shell command that ``srun`` runs in every task, already quoted. In an array
            it may use ``$SLURM_ARRAY_TASK_ID``. Exit status 75 means: stopped and saved, start me
            again.
        folder: Absolute; for the script, the output of the jobs and the records of submissions.
            All nodes see it.
        partition: Where to run; None: the cluster's default. The same holds for account, qos,
            ``cpus_per_task``, memory (per node, as ``--mem``: ``64G``) and time (``24:00:00``).
        nodes: How many machines.
        tasks_per_node: Processes on each; one per GPU.
        gpus_per_node: 0 on CPU nodes.
        requeue: Start again after preemption and after a kill.
        grace: Seconds before the end of its time when the tasks get SIGUSR1, to save.
        max_restarts: How many times a job that was killed by a signal is started again; a job that
            saved (status 75) is started again without limit.
        array: Numbers of the tasks, as ``--array`` wants them: ``0-3%2``.
        extra: Further options of ``sbatch``, such as ``--constraint=a100``.
    """

    name: str
    command: str
    folder: Path
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: int = 0
    cpus_per_task: int | None = None
    memory: str | None = None
    time: str | None = None
    requeue: bool = True
    grace: int = 120
    max_restarts: int = 3
    array: str | None = None
    extra: tuple[str, ...] = ()


def script_text(job: SlurmJob) -> str:
    """The batch script of a job.

    Raises:
        UsageError: A number is out of range, the folder is relative, or an option is no option.
    """
    _check(job)
    options = "".join(f"#SBATCH {option}\n" for option in _options(job))
    srun = ["srun", "--kill-on-bad-exit=1"]
    if job.cpus_per_task is not None:
        # Since Slurm 22.05, srun does not take this over from the job.
        srun.append(f"--cpus-per-task={job.cpus_per_task}")
    srun += ["bash", "-c", _TASK.format(command=job.command)]
    body = _BODY.format(folder=shlex.quote(str(job.folder)), srun=shlex.join(srun))
    if job.requeue:
        body += _REQUEUE.format(preempted=EXIT_STATUS, max_restarts=job.max_restarts)
    return f"#!/bin/bash\n{options}{body}exit $status\n"


def submit(job: SlurmJob) -> str:
    """Write the script into the job's folder, send it, and record the submission.

    Beside ``job.sh``, the folder gets ``slurm-<id>.json``: time, command line, folder in which it
    was called, revision of the code, and the script itself. Jobs run in the folder in which this
    process is, with its environment.

    Returns:
        The number of the job.

    Raises:
        UsageError: The job does not fit (see :func:`script_text`), there is no ``sbatch``, or it
            refuses; says what it said.
    """
    text = script_text(job)
    if shutil.which("sbatch") is None:
        raise UsageError(
            "sbatch not found: submit where Slurm is, or look at the script with --dry-run."
        )
    script = job.folder / "job.sh"
    write_text(script, text)
    done = subprocess.run(
        ["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UsageError(f"sbatch refuses {script}: {done.stderr.strip() or done.stdout.strip()}")
    number = done.stdout.strip().partition(";")[0]
    record = {
        "job": number,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command(),
        "directory": Path.cwd(),
        "code": git_state(__file__, sys.argv[0]),
        "script": text,
    }
    write_json(job.folder / f"slurm-{number}.json", record)
    return number


def job_states(job_id: str) -> dict[str, str]:
    """State of a job, or of each task of an array, as Slurm names it (PENDING, RUNNING, ...).

    Asks the controller, and the accounting for what the controller has forgotten.

    Args:
        job_id: The number that :func:`submit` gave.

    Returns:
        ``{"17": "RUNNING"}``, or for an array ``{"17_0": "COMPLETED", "17_1": "PENDING"}``; empty
        where neither knows the job, or there is no Slurm.
    """
    states = {}
    for line in _answer("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-j", job_id):
        name, _, state = line.partition("|")
        states.update((task, state.split()[0]) for task in _tasks(name) if state)
    for line in _answer("scontrol", "--oneliner", "show", "job", job_id):
        fields = dict(field.partition("=")[::2] for field in line.split())
        if "JobState" in fields:
            array, task = fields.get("ArrayJobId"), fields.get("ArrayTaskId")
            name = f"{array}_{task}" if array and task else fields["JobId"]
            states.update((task, fields["JobState"]) for task in _tasks(name))
    return states


def _answer(*command_line: str) -> list[str]:
    if shutil.which(command_line[0]) is None:
        return []
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def _tasks(name: str) -> Iterator[str]:
    """``17_3`` of ``17_3``; each task of those that wait together, ``17_[1-2,5%2]``."""
    job, _, tasks = name.partition("_")
    if not tasks:
        yield job
    for part in filter(None, tasks.strip("[]").partition("%")[0].split(",")):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if found:
            first, last, step = found[1], found[2] or found[1], found[3] or "1"
            yield from (f"{job}_{n}" for n in range(int(first), int(last) + 1, int(step)))


def _options(job: SlurmJob) -> list[str]:
    output = "slurm-%A_%a.out" if job.array else "slurm-%j.out"
    pairs = {
        "job-name": job.name,
        "output": f"{str(job.folder).replace('%', '%%')}/{output}",
        "open-mode": "append",
        "partition": job.partition,
        "account": job.account,
        "qos": job.qos,
        "nodes": job.nodes,
        "ntasks-per-node": job.tasks_per_node,
        "gpus-per-node": job.gpus_per_node or None,
        "cpus-per-task": job.cpus_per_task,
        "mem": job.memory,
        "time": job.time,
        "array": job.array,
        "signal": f"USR1@{job.grace}",
    }
    named = [f"--{key}={shlex.quote(str(value))}" for key, value in pairs.items() if value]
    split = (option.partition("=") for option in job.extra)
    extra = [name + mark + (shlex.quote(value) if mark else "") for name, mark, value in split]
    return [*named, "--requeue" if job.requeue else "--no-requeue", *extra]


def _check(job: SlurmJob) -> None:
    least = {"nodes": 1, "tasks_per_node": 1, "gpus_per_node": 0, "grace": 1, "max_restarts": 0}
    for name, bound in {**least, "cpus_per_task": 1}.items():
        value = getattr(job, name)
        if value is not None and value < bound:
            raise UsageError(f"{name.replace('_', '-')} is {value}: at least {bound} is needed.")
    if not job.folder.is_absolute():
        raise UsageError(f"folder {job.folder} of the job is relative: nodes do not know to what.")
    for option in job.extra:
        if not option.startswith("-"):
            raise UsageError(f"'{option}' is no option of sbatch: write it as --name=value.")
    # A line of options ends at the end of the line.
    names = ("name", "folder", "partition", "account", "qos", "memory", "time", "array")
    texts = [(name, getattr(job, name)) for name in names] + [("sbatch", o) for o in job.extra]
    for name, text in texts:
        if text is not None and re.search(r"[\n\r\0]", str(text)):
            raise UsageError(
                f"{name} {str(text)!r} has a line break or null byte, which an option of sbatch "
                "cannot have."
            )
