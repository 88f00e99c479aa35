#!/usr/bin/env python
"""Files to hand on: `python tools/publish.py CONFIG CHECKPOINT --out DIR [--run RUN_FOLDER]`.

Writes weights (.safetensors), the config as data (.json) and a model card (.md) with the figures
of the tests in the run folder. See docs/publish.md.
"""

import argparse

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import run_command
from attnseg.apis.config_errors import OptionAction
from attnseg.apis.publish import publish


def main() -> None:
    """Publish as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("checkpoint", help="weights (.pth or .safetensors)")
    parser.add_argument("--out", required=True, help="folder of the files")
    parser.add_argument("--run", metavar="RUN_FOLDER", help="where the tests of this model lie")
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    print(*publish(**vars(parser.parse_args())), sep="\n")


if __name__ == "__main__":
    run_command(main)
