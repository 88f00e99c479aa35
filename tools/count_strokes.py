#!/usr/bin/env python
"""Count the strokes that a simulated user needs until masks are exact (NoC@90, NoC@95).

`python tools/count_strokes.py CONFIG WEIGHTS --data DIR`.
"""

import argparse

from attnseg.apis.command import run_command
from attnseg.apis.stroke_count import add_arguments, count_strokes, describe


def main() -> None:
    """Count as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    print(describe(count_strokes(**vars(parser.parse_args()))))


if __name__ == "__main__":
    run_command(main)
