#!/usr/bin/env python
"""Submission files of benchmark servers, from the predictions of a test.

`python tools/test.py CONFIG CHECKPOINT --save-predictions DIR`, then
`python tools/submit.py pack FORMAT --predictions DIR --out FILE.zip`; see docs/submissions.md.
"""

import argparse

from attnseg.apis.command import run_command
from attnseg.apis.submission import add_arguments, pack_submission, validate_submission


def main() -> None:
    """Pack or validate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    arguments = vars(parser.parse_args())
    packs = arguments.pop("action") == "pack"
    findings = pack_submission(**arguments) if packs else validate_submission(**arguments)
    for finding in (*findings.errors, *findings.warnings):
        print(finding)
    if findings.errors:
        raise SystemExit(1)
    file = arguments["out"] if packs else arguments["file"]
    print(f"{file}: valid, {len(findings.warnings)} kind(s) of warnings")
    if arguments.get("images", "") is None:
        print("no --images given: missing images and wrong sizes were not looked for")


if __name__ == "__main__":
    run_command(main)
