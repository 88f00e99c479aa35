#!/usr/bin/env python
"""Size, work, time and memory of models: `python tools/benchmark.py CONFIG CONFIG ...`.

Random inputs and weights; no data set is needed. Each config runs in its own process, and they
take turns pass by pass, so that ratios hold on a busy machine. docs/benchmark.md says what is
counted.
"""

import argparse
import os

from attnseg.compat import setup_env

setup_env()

from attnseg.apis.benchmark import DEVICES, DTYPES, MODES, run_benchmark
from attnseg.apis.benchmark_report import make_folder, text_table, write_report
from attnseg.apis.benchmark_worker import Setting
from attnseg.apis.command import run_command


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="file, name, or package::name")
    parser.add_argument("--shape", type=int, nargs=2, default=(512, 512), metavar=("H", "W"))
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="images of a pass")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=["fp32"])
    parser.add_argument("--mode", choices=MODES, default="tensor", help="with post-processing?")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument("--repeats", type=int, default=20, help="timed passes")
    parser.add_argument("--warmup", type=int, default=3, help="untimed passes before them")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", default="work_dirs/benchmark", help="folder of CSV and JSON")
    return parser.parse_args()


def main() -> None:
    """Measure as the command line says; exit status 1 if a config failed."""
    args = parse_args()
    setting = Setting(tuple(args.shape), args.mode, args.device, args.threads, args.compile)
    folder = make_folder(args.out)
    rows = run_benchmark(
        args.configs,
        setting=setting,
        dtypes=args.dtype,
        batches=args.batch,
        repeats=args.repeats,
        warmup=args.warmup,
    )
    print(text_table(rows))
    print("files: {} and {}".format(*write_report(rows, setting, folder, args.repeats)))
    if any(row.error for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    run_command(main)
