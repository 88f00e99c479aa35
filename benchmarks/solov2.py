"""Latency, memory and size of CSPAM-SOLOv2 and of each of its parts beside mmdet's SOLOv2.

Images of 680x1200 (height x width) are padded to 704x1216, a multiple of 32, as the data
preprocessor does. The models are the leaves of the ablations, with random weights.

(a) Multiply-accumulates (MACs) and parameters of the backbones and of the whole networks.
(b) Latency of the raw outputs (all that is learned, without post-processing), models in turns in
one process, eval mode.
(c) Peak memory of a raw forward pass: growth of the resident pages of a process of its own (of the
allocated memory on CUDA), the weights not counted; and the same for the backbone alone, forward
and forward with backward.
"""

import argparse
from collections.abc import Callable

import torch
from common import measure, print_table, report
from torch import nn

from attnseg.compat import operators_compiled, setup_env

LEAF = "cspam_solov2/{}_8xb2-40e_coco-instance-680x1200.py"
PEER, FULL = "SOLOv2", "CSPAM-SOLOv2"
MODELS = {
    PEER: "solov2_r{}",
    "+ CSPAM": "cspam-solov2_r50-cspam",
    "+ TWFPN": "cspam-solov2_r50-twfpn-csmf",
    "+ TWFPN + CSMF": "cspam-solov2_r50-twfpn-csmf",
    FULL: "cspam-solov2_r{}",
}
PUBLISHED_RATIO = 42.1 / 29.9  # Table 2, ResNet-101, milliseconds on a 2080Ti


def build(name: str, depth: int, part: str | None = None) -> nn.Module:
    """One of ``MODELS``, or a part of it, in eval mode with random weights."""
    from mmengine.registry import init_default_scope

    from attnseg.apis.benchmark_inputs import read_model
    from attnseg.registry import MODELS as REGISTRY

    setup_env()
    init_default_scope("mmdet")
    torch.manual_seed(0)
    cfg, _ = read_model(LEAF.format(MODELS[name].format(depth)))
    if name == "+ TWFPN":
        # No leaf has the neck without the mask features that go with it.
        cfg.neck.with_top = False
        cfg.mask_head.mask_feature_head.pop("type")
    model = REGISTRY.build(cfg[part] if part else cfg)
    # mmdet's ResNet returns nothing from it.
    model.eval()
    return model


def count_sizes(shape: tuple[int, int]) -> dict[str, dict[str, float]]:
    """Parameters and MACs of backbones and networks."""
    from attnseg.apis.benchmark_inputs import make_pass
    from attnseg.engine.complexity import count

    figures = {}
    for depth in (50, 101):
        for name in (PEER, FULL) if depth == 101 else MODELS:
            model = build(name, depth)
            image = torch.randn(1, 3, *shape)
            cost = count(model, make_pass(model, "tensor", shape, 1, "cpu"))
            backbone = count(model.backbone, image)
            figures[f"{name}, R{depth}"] = {
                "params_m": cost.params / 1e6,
                "gmacs": cost.macs / 1e9,
                "backbone_params_m": backbone.params / 1e6,
                "backbone_gmacs": backbone.macs / 1e9,
            }
    return figures


def time_models(shape: tuple[int, int], repeats: int, device: str) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of the raw pass in milliseconds, and the median over SOLOv2's."""
    from attnseg.apis.benchmark_inputs import make_pass
    from attnseg.engine.complexity import latencies

    models = {name: build(name, 50).to(device) for name in MODELS}
    pairs = {
        name: (model, make_pass(model, "tensor", shape, 1, device))
        for name, model in models.items()
    }
    times = latencies(pairs, repeats, warmup=1)
    return {
        name: {"ms_p50": time.p50, "ms_p95": time.p95, "over_solov2": time.p50 / times[PEER].p50}
        for name, time in times.items()
    }


def one_pass(
    name: str, part: str | None, shape: tuple[int, int], backward: bool, device: str
) -> Callable[[], None]:
    """The raw pass of a model or its backbone, run once on a small image before."""
    from attnseg.apis.benchmark_inputs import make_pass

    model = build(name, 50, part).to(device)

    def run(size: tuple[int, int] = shape) -> None:
        with torch.set_grad_enabled(backward):
            if part:
                found = model(torch.randn(1, 3, *size, device=device))
                if backward:
                    sum(level.sum() for level in found).backward()
                    model.zero_grad(set_to_none=True)
            else:
                make_pass(model, "tensor", size, 1, device)(model)

    run((64, 64))
    return run


def measure_memory(shape: tuple[int, int], threads: int, device: str) -> dict[str, float]:
    """Peak of each pass in MiB, each in a process of its own."""
    figures = {}
    passes: list[tuple[str, str | None, bool]] = [(name, None, False) for name in MODELS]
    passes += [(name, "backbone", back) for name in (PEER, FULL) for back in (False, True)]
    for name, part, backward in passes:
        label = name + (f", {part}" if part else "") + (", with backward" if backward else "")
        print(f"memory of {label} ...", flush=True)
        args = (name, part, shape, backward, device)
        found = measure(one_pass, *args, repeats=1, threads=threads, device=device)
        figures[label] = found.peak_mib
    return figures


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(704, 1216), help="height width")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    if any(side < 64 or side % 32 for side in args.shape):
        parser.error(f"--shape {args.shape}: both sides have to be multiples of 32, 64 or more")
    shape = (args.shape[0], args.shape[1])
    setup_env()
    torch.set_num_threads(args.threads)
    latency = time_models(shape, args.repeats, args.device)
    columns = ["ms", "p95", "over SOLOv2"]
    print_table(["R50, raw", *columns], [[name, *row.values()] for name, row in latency.items()])
    sizes = count_sizes(shape)
    columns = ["params M", "GMACs", "backbone params M", "backbone GMACs"]
    print_table(["model", *columns], [[name, *row.values()] for name, row in sizes.items()])
    memory = measure_memory(shape, args.threads, args.device)
    print_table(["memory", "peak MiB"], [[name, value] for name, value in memory.items()])
    backbones = {
        f"backbone_macs_over_resnet{depth}": sizes[f"{FULL}, R{depth}"]["backbone_gmacs"]
        / sizes[f"{PEER}, R{depth}"]["backbone_gmacs"]
        for depth in (50, 101)
    }
    payload = {
        "setting": f"one image {shape[0]}x{shape[1]}, random weights, float32, {args.device}",
        "latency": latency,
        "sizes": sizes,
        "peak_mib": memory,
        "full_over_solov2": latency[FULL]["over_solov2"],
        "published_r101_over_solov2": PUBLISHED_RATIO,
        **backbones,
        "mmcv_operators": operators_compiled(),
    }
    standard = all(
        value == parser.get_default(key)
        for key, value in {**vars(args), "shape": shape}.items()
        if key != "device"
    )
    name = "solov2" if args.device == "cpu" else "solov2_cuda"
    report(name if standard else f"{name}_custom", payload, args.threads)


if __name__ == "__main__":
    main()
