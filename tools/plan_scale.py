#!/usr/bin/env python
"""Plan a training on many GPUs: `python tools/plan_scale.py CONFIG --images 118287`."""

import argparse

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.command import run_command
from attnseg.apis.experiment import build_config
from attnseg.apis.scale_plan import Cluster, check_gpus, measure_model, plan, simulate_samplers


def main() -> None:
    """Print a column for each number of GPUs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="file, or name below configs/")
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--images", type=int, required=True, help="of the training set")
    for name, value in vars(Cluster()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(value), default=value, help=f"assumed ({value:g})")
    parser.add_argument("--simulate", action="store_true", help="ask the samplers of all processes")
    arguments = vars(parser.parse_args())
    config, gpus, images, simulate = map(arguments.pop, ("config", "gpus", "images", "simulate"))
    check_gpus(gpus)
    cfg = build_config(config)
    size = measure_model(cfg)
    columns = [plan(cfg, size, images, number, Cluster(**arguments)) for number in gpus]
    print(f"{size.parameters:,} parameters. Computed, not measured; assumed: {arguments}")
    for key in columns[0]:
        cells = ["-" if c[key] is None else f"{c[key]:,.6g}" for c in columns]
        print(f"{key:32}" + "".join(f"{cell:>14}" for cell in cells))
    for number in gpus if simulate else ():
        for kind, counts in simulate_samplers(images, number).items():
            print(f"{number} processes, {kind} sampler: {counts}")


if __name__ == "__main__":
    run_command(main)
