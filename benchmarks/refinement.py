"""Size and latency of the mask-refinement networks: refine_best beside the published ones.

(a) Parameters, and multiply-accumulates (MACs) at the size that the network sees for an image of
the given size: the image's own for the published ones, a crop for refine_best.
(b) Time from image and stroke to mask (`MaskRefiner`: encoding, crop, network, way back), in turns
in one process. The stroke covers four fifths of each side, so that the crop is as large as
refine_best's become. Weights are random.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import print_table, report

from attnseg.compat import setup_env

LEAF = "mask_refine/refine-unet_{}_1xb1-50e_coco-refinement-full.py"
PEER, BEST = "tiny16-32", "refine_best"
CONFIGS = {
    PEER: LEAF.format("tiny16-32-bce-dice"),
    "res16-32": LEAF.format("res16-32-bce-dice"),
    "tiny16-128": LEAF.format("tiny16-128-bce-dice"),
    "res16-128": LEAF.format("res16-128-bce-dice"),
    "res32-256": LEAF.format("res32-256-bound"),
    "attn32-256": LEAF.format("attn32-256-bound"),
    BEST: "mask_refine/refine_best.py",
}


def build(config: str) -> object:
    """A refiner with random weights."""
    from mmengine.registry import MODELS

    from attnseg.apis.experiment import build_config
    from attnseg.apis.refiner import MaskRefiner

    torch.manual_seed(0)
    model = MODELS.build(build_config(config).model)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        torch.save({"state_dict": model.state_dict()}, weights)
        return MaskRefiner(config, weights)


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="height and width of the image")
    parser.add_argument("--models", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    if args.size < 16 or args.repeats < 1:
        parser.error("--size must be 16 or more and --repeats 1 or more")
    if not {PEER, BEST} <= set(args.models):
        parser.error(f"--models needs {PEER} and {BEST}, which are compared")
    setup_env()
    from attnseg.engine.complexity import count

    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (args.size, args.size, 3), dtype=np.uint8)
    stroke = np.zeros(image.shape[:2], dtype=bool)
    tenth = args.size // 10
    stroke[tenth : args.size - tenth, tenth : args.size - tenth] = True
    refiners = {name: build(CONFIGS[name]) for name in args.models}
    times: dict[str, list[float]] = {name: [] for name in refiners}
    for turn in range(args.repeats + 1):
        for name, refiner in refiners.items():
            start = time.perf_counter()
            refiner(image, stroke)
            if turn:
                times[name].append(time.perf_counter() - start)
    figures = {}
    for name, refiner in refiners.items():
        packed = refiner.prepare(image, stroke)
        size = tuple(packed["inputs"].shape[-2:])
        channels = refiner.model.data_preprocessor.num_channels
        cost = count(refiner.model.network, torch.zeros(1, channels, *size))
        ms = 1000 * statistics.median(times[name])
        figures[name] = {
            "params_m": cost.params / 1e6,
            "network_size": list(size),
            "gmacs": cost.macs / 1e9,
            "ms": ms,
        }
    for row in figures.values():
        row["over_tiny16_32"] = row["ms"] / figures[PEER]["ms"]
    print_table(
        ["model", "params M", "network sees", "GMACs", "ms", f"over {PEER}"],
        [[name, *row.values()] for name, row in figures.items()],
    )
    payload = {
        "setting": f"one image {args.size}x{args.size} and its stroke, float32, cpu",
        "models": figures,
        "refine_best_ms": figures[BEST]["ms"],
        "refine_best_over_tiny16_32": figures[BEST]["over_tiny16_32"],
    }
    standard = all(value == parser.get_default(key) for key, value in vars(args).items())
    report("refinement" if standard else "refinement_custom", payload, args.threads)


if __name__ == "__main__":
    main()
