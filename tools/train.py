#!/usr/bin/env python
"""Train a model: `python tools/train.py CONFIG [--data DIR]`."""

import argparse
import os

from attnseg.compat import setup_env

setup_env()

from mmengine.config import DictAction

from attnseg.apis.experiment import LAUNCHERS, build_config, run_command, run_train


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("--work-dir", help="run folder (default: ./work_dirs/<config>)")
    parser.add_argument("--data", help="takes the place of the config's data_root")
    parser.add_argument("--resume", nargs="?", const="auto", help="checkpoint, or nothing: newest")
    parser.add_argument("--load-from", help="weights to start from")
    parser.add_argument("--amp", action="store_true", help="mixed precision (needs a GPU)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--max-iters", type=int, help="length; the schedule is scaled to it")
    length.add_argument("--max-epochs", type=int, help="the same, for configs in epochs")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help="key=value ...")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train as the command line says."""
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = build_config(
        args.config,
        work_dir=args.work_dir,
        data=args.data,
        cfg_options=args.cfg_options,
        launcher=args.launcher,
        seed=args.seed,
        amp=args.amp,
        resume=args.resume,
        checkpoint=args.load_from,
        max_iters=args.max_iters,
        max_epochs=args.max_epochs,
    )
    run_train(cfg)


if __name__ == "__main__":
    run_command(main)
