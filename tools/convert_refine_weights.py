#!/usr/bin/env python
"""Published weights of NeuralSegmentello: `python tools/convert_refine_weights.py CKPT OUT`."""

import argparse

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import input_errors, run_command
from attnseg.mask_refine.published import VARIANTS, convert_file


def main() -> None:
    """Convert as the command line says, and print the config that fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="Lightning checkpoint as published (.ckpt)")
    parser.add_argument("out", help="new file (.safetensors)")
    parser.add_argument(
        "--variant",
        choices=VARIANTS,
        help="what the file does not tell, if its name or its folder's does not either",
    )
    arguments = parser.parse_args()
    with input_errors():
        if not arguments.out.endswith(".safetensors"):
            raise ValueError(f"'{arguments.out}' must end in .safetensors")
        found = convert_file(arguments.checkpoint, arguments.out, arguments.variant)
    settings = ", ".join(f"{key}={value!r}" for key, value in found.network().items())
    print(f"{arguments.out}: {found.name}")
    print(f"network=dict({settings})")
    if found.config:
        print(f"config: {found.config}")


if __name__ == "__main__":
    run_command(main)
