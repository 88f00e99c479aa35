#!/usr/bin/env python
"""Evaluate a checkpoint: `python tools/test.py CONFIG CHECKPOINT [--data DIR]`."""

import argparse
import os

from attnseg.compat import setup_env

setup_env()

from mmengine.config import DictAction

from attnseg.apis.experiment import LAUNCHERS, build_config, run_command, run_test


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("checkpoint", help="weights to evaluate (.pth or .safetensors)")
    parser.add_argument("--work-dir", help="run folder (default: ./work_dirs/<config>)")
    parser.add_argument("--data", help="takes the place of the config's data_root")
    parser.add_argument("--show-dir", help="draw the predictions into this folder")
    parser.add_argument("--tta", action="store_true", help="merge predictions of flipped images")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help="key=value ...")
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Evaluate as the command line says."""
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = build_config(
        args.config,
        checkpoint=args.checkpoint,
        work_dir=args.work_dir,
        data=args.data,
        cfg_options=args.cfg_options,
        launcher=args.launcher,
        seed=args.seed,
        show_dir=args.show_dir,
        tta=args.tta,
    )
    run_test(cfg)


if __name__ == "__main__":
    run_command(main)
