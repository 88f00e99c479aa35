#!/usr/bin/env python
"""Where queries look: `python tools/draw_activations.py CONFIG CHECKPOINT IMAGE... --out DIR`.

Writes one figure for each image: its instances, and for the best ones the activation map of their
query at each level and its attention at the finest level. Images may be any that the config reads.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from attnseg.compat import setup_env

setup_env()

from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope

from attnseg.apis.activation_figure import draw_explanation
from attnseg.apis.activations import Explanation, explain_image, inference_pipeline
from attnseg.apis.config_errors import OptionAction
from attnseg.apis.experiment import UsageError, build_config, input_errors, run_command
from attnseg.engine.checkpoint import load_weights
from attnseg.iaunet import IAUNet


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="file, name below configs/, or package::folder/name.py")
    parser.add_argument("checkpoint", help="weights (.pth or .safetensors)")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--out", required=True, help="folder of the figures")
    parser.add_argument("--top", type=int, default=6, help="instances with maps, best first")
    parser.add_argument("--levels", type=int, nargs="+", help="1 is the coarsest (default: all)")
    parser.add_argument(
        "--window",
        type=int,
        nargs=2,
        metavar=("TOP", "LEFT"),
        help="of a larger image, for configs with windows (default: the central one)",
    )
    parser.add_argument(
        "--without-image",
        action="store_true",
        help="black in its place, where it is not to be shown",
    )
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, help="key=value ...")
    return parser.parse_args()


def build_model(cfg: Any) -> tuple[IAUNet, list[str]]:
    """The model with its weights, in eval mode, and the names of its classes if known.

    Raises:
        UsageError: The config is not IAUNet's, or the checkpoint does not fit.
    """
    kind = cfg.model.get("type")
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(found, type) and issubclass(found, IAUNet)):
        raise UsageError(
            f"{cfg.filename} is a config of {kind}: only attnseg.IAUNet has activation maps. "
            "Choose a config below configs/iaunet/."
        )
    with input_errors():
        model = MODELS.build(cfg.model)
    with input_errors(RuntimeError):
        meta = load_weights(model, cfg.load_from).get("meta")
    data = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    classes = (data.get("classes") if isinstance(data, Mapping) else None) or ()
    return model.to(get_device()).eval(), list(classes)


def describe_result(shown: Explanation) -> str:
    """How many instances there are, and in which part of the image they were looked for."""
    found = f"{len(shown.instances)} instances" if shown.kept else "no instance"
    if shown.window is None:
        return found
    top, left, height, width = shown.window
    part = f"the window at top {top}, left {left} ({height} x {width} pixels)"
    rest = f"of an input of {shown.whole_size[0]} x {shown.whole_size[1]}"
    return f"{found} in {part} {rest}; --window TOP LEFT chooses another"


def main() -> None:
    """Draw as the command line says."""
    args = parse_args()
    missing = [name for name in args.images if not Path(name).is_file()]
    if missing:
        raise UsageError(f"image '{missing[0]}' not found (looked from {Path.cwd()}).")
    if args.top < 1:
        raise UsageError(f"--top {args.top}: expected at least 1.")
    cfg = build_config(args.config, checkpoint=args.checkpoint, cfg_options=args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    model, classes = build_model(cfg)
    pipeline = inference_pipeline(cfg)
    used: Counter[str] = Counter()
    for name in args.images:
        with input_errors():
            shown = explain_image(model, pipeline, name, args.window, args.top)
            if args.without_image:
                shown = replace(shown, picture=np.zeros_like(shown.picture))
            stem = Path(name).stem
            used[stem] += 1
            ending = f"-{used[stem]}" if used[stem] > 1 else ""
            path = Path(args.out) / f"{stem}{ending}.png"
            draw_explanation(shown, path, args.top, args.levels, classes)
        print(f"{path}: {describe_result(shown)}", flush=True)


if __name__ == "__main__":
    run_command(main)
