#!/usr/bin/env python
"""Train in a Slurm job: `submit.py CONFIG [options] [-- options of train.py]`."""

from attnseg.compat import setup_env

setup_env()

import sys
from pathlib import Path

from attnseg.apis.command import run_command
from attnseg.apis.slurm import script_text, submit
from attnseg.apis.submit_training import submission_parser, training_job


def main() -> None:
    """Print the job's number, or with --dry-run its script."""
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    arguments = submission_parser(__doc__).parse_args(words[:split])
    train = Path(__file__).resolve().parents[1] / "train.py"
    job = training_job(train, arguments, words[split + 1 :])
    if arguments.dry_run:
        print(script_text(job), end="")
    else:
        print(f"Submitted batch job {submit(job)}; output in {job.folder}")


if __name__ == "__main__":
    run_command(main)
