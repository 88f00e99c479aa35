#!/usr/bin/env python
"""Long-range dependency of feature maps: `python tools/analyze_dependency.py CONFIG [CHECKPOINT]`.

Runs the model on images of the config's val set and writes the Hurst, DFA and spectral exponents
of the named modules as a table (CSV, Markdown) and as figures. Nothing is evaluated.
"""

import argparse
import math
from typing import Any

from attnseg.compat import setup_env

setup_env()

from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn
from tqdm import tqdm

from attnseg.apis.config_errors import OptionAction
from attnseg.apis.dependency import analyze_dependency, modules_of_class, write_report
from attnseg.apis.dependency_report import markdown_table
from attnseg.apis.experiment import UsageError, build_config, input_errors, run_command
from attnseg.engine.checkpoint import load_weights


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("checkpoint", nargs="?", help="weights; untrained ones if not given")
    parser.add_argument("--modules", nargs="+", help="names (default: every MaskAttention)")
    parser.add_argument("--num-images", type=int, default=8)
    parser.add_argument("--channels", type=int, default=8, help="series of each image and module")
    parser.add_argument("--scan", choices=("row", "column"), default="row")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of channels")
    parser.add_argument("--out", default="work_dirs/dependency", help="folder of the report")
    parser.add_argument("--data", help="takes the place of the config's data_root")
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    return parser.parse_args()


def main() -> None:
    """Analyse as the command line says."""
    args = parse_args()
    cfg = build_config(
        args.config, checkpoint=args.checkpoint, data=args.data, cfg_options=args.cfg_options
    )
    if cfg.get("val_dataloader") is None:
        raise UsageError(f"{cfg.filename} has no val_dataloader to take images from.")
    init_default_scope(cfg.get("default_scope", "mmengine"))
    model = MODELS.build(cfg.model).to(get_device())
    if args.checkpoint:
        with input_errors(RuntimeError):
            load_weights(model, args.checkpoint)
    else:
        print("no checkpoint given: the weights are untrained")
    with input_errors():
        loader = Runner.build_dataloader(cfg.val_dataloader, seed=args.seed)
    total = min(len(loader), math.ceil(args.num_images / (loader.batch_size or 1)))
    with tqdm(total=total, desc="analysing", unit="batch") as bar:

        def run_model(model: nn.Module, batch: Any) -> None:
            """Forward pass of an OpenMMLab model without post-processing."""
            model(**model.data_preprocessor(batch, False), mode="tensor")
            bar.update()

        try:
            results = analyze_dependency(
                model,
                args.modules or modules_of_class(model),
                loader,
                forward=run_model,
                max_images=args.num_images,
                channels=args.channels,
                scan=args.scan,
                seed=args.seed,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
    files = write_report(results, args.out)
    print(markdown_table([result.row() for result in results]))
    print(f"table and {len(files) - 2} figures: {args.out}")


if __name__ == "__main__":
    run_command(main)
