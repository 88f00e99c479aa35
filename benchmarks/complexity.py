"""Params, MACs and CPU latency of each MaskAttn-UNet preset beside Mask2Former-R50.

The published panoptic model with its heads (133 classes, 16-d embedding), with attention
everywhere and with none (plain U-Net), one 128x128 image, random weights. Attention is counted.
All models take turns in one process with the same threads, in eval mode and without gradients:
first the raw outputs (backbone and heads), then ``predict`` with the grouping into segments, whose
time depends on the weights and is an indication only.

The deformable attention of Mask2Former runs on mmcv's pure torch path, as it does on every CPU;
its sampling is not in its MACs.
"""

import argparse
import importlib.machinery

import mmcv
import torch
from common import print_table, report
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from attnseg.apis.experiment import find_config
from attnseg.compat import setup_env
from attnseg.engine.complexity import Inputs, count, latencies
from attnseg.registry import MODELS

PRESETS = ["paper", "code", "small"]
CONFIG = "maskattn_unet/maskattn-unet_paper_2xb7-1000e_coco-panoptic-128x128.py"
PEER = "Mask2Former-R50"
PEER_CONFIG = "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py"


def build_ours(preset: str, attention: str) -> nn.Module:
    """The published panoptic model with another preset."""
    cfg = Config.fromfile(find_config(CONFIG)).model
    cfg.backbone.update(preset=preset, attention=attention)
    cfg.head.in_channels = MODELS.build(cfg.backbone).out_channels[0]
    return MODELS.build(cfg)


def build_peer() -> nn.Module:
    """Mask2Former-R50 panoptic of mmdet."""
    cfg = Config.fromfile(find_config(PEER_CONFIG)).model
    cfg.backbone.init_cfg = None
    return MODELS.build(cfg)


def make_inputs(size: int) -> dict[str, Inputs]:
    """What runs in each pass: ``raw`` and ``predict``."""
    from mmdet.structures import DetDataSample

    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    shape = (size, size)
    meta = {"img_shape": shape, "ori_shape": shape, "batch_input_shape": shape, "img_id": 0}

    def run(model: nn.Module, mode: str) -> object:
        return model(image, [DetDataSample(metainfo=meta)], mode=mode)

    return {
        "raw": lambda model: run(model, "tensor"),
        "predict": lambda model: run(model, "predict"),
    }


def has_operators() -> bool:
    """Whether mmcv's operators are compiled, rather than replaced by our stand-in."""
    return importlib.machinery.PathFinder.find_spec("mmcv._ext", mmcv.__path__) is not None


def compare(size: int, presets: list[str], repeats: int, peer: bool) -> dict[str, object]:
    """Count and time all models; returns every figure of the report."""
    torch.manual_seed(0)
    models = {
        f"{preset}, {'attention' if attention == 'both' else 'plain'}": build_ours(
            preset, attention
        )
        for preset in presets
        for attention in ("both", "none")
    }
    if peer:
        models[PEER] = build_peer()
    inputs = make_inputs(size)
    figures: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        print(f"counting {name} ...", flush=True)
        cost = count(model, inputs["raw"])
        figures[name] = {"params_m": cost.params / 1e6, "gmacs": cost.macs / 1e9}
    for kind, run in inputs.items():
        print(f"timing {kind} ...", flush=True)
        pairs = {name: (model, run) for name, model in models.items()}
        for name, time in latencies(pairs, repeats, warmup=1).items():
            figures[name].update({f"{kind}_ms_p50": time.p50, f"{kind}_ms_p95": time.p95})
    print_table(
        ["model", "params M", "GMACs", "raw ms", "raw p95", "predict ms", "predict p95"],
        [[name, *row.values()] for name, row in figures.items()],
    )
    operators = has_operators()
    print(f"mmcv operators compiled: {'yes' if operators else 'no'}")
    result: dict[str, object] = {
        "setting": f"1x3x{size}x{size}, panoptic, 133 classes, random weights, eval mode",
        "models": figures,
        "mmcv_operators": operators,
    }
    small = figures.get("small, attention")
    if peer and small:
        for kind in inputs:
            key = f"{kind}_ms_p50"
            result[f"mask2former_over_small_{kind}"] = figures[PEER][key] / small[key]
    return result


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128, help="pixels of a side, at least 32")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--no-peer", action="store_true", help=f"leave {PEER} out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    setup_env()
    init_default_scope("mmdet")
    torch.set_num_threads(args.threads)
    figures = compare(args.size, args.presets, args.repeats, not args.no_peer)
    full = args.size == 128 and args.presets == PRESETS and not args.no_peer
    report("complexity" if full else "complexity_custom", figures, args.threads)


if __name__ == "__main__":
    main()
