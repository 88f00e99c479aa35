#!/usr/bin/env python
"""Paint strokes in the browser and refine them.

`python tools/refine_app.py --config CONFIG --weights FILE`. The page is served to this machine
alone (127.0.0.1), and fetches and reports nothing. It needs Gradio (requirements/optional.txt).
"""

import argparse

from attnseg.compat import setup_env

setup_env()

import numpy as np

from attnseg.apis.experiment import UsageError, run_command
from attnseg.apis.refine_page.drawing import MAX_SIDE
from attnseg.apis.refiner import MaskRefiner, add_model_arguments


def main() -> None:
    """Serve the page until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_arguments(parser)
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument(
        "--max-side",
        type=int,
        default=MAX_SIDE,
        help=f"longest side in pixels; larger images are reduced (default: {MAX_SIDE})",
    )
    args = parser.parse_args()
    if args.max_side < 16:
        raise UsageError(f"--max-side {args.max_side}: expected at least 16.")
    # Where Gradio is missing, that is said before weights are read.
    from attnseg.apis.refine_page.page import build_page, launch_page

    refiner = MaskRefiner(args.config, args.weights, args.device, args.cfg_options)
    # The first call is slower than all others; no user shall wait for it.
    refiner(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), bool))
    launch_page(build_page(refiner, args.max_side), args.port)


if __name__ == "__main__":
    run_command(main)
