"""ONNX files of each room: size, agreement with torch, and latency in onnxruntime.

(a) Parameters, the file of the weights (.safetensors) and the ONNX file of the raw outputs, which
takes any size.
(b) Largest error of any output against torch at two sizes, the second not square and not that of
the trace.
(c) Time of one image at the first size, onnxruntime against torch without compilation, in turns in
one process, one thread each. Weights are random.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from common import print_table, report

from attnseg.compat import setup_env

SMALL = "maskattn_unet/maskattn-unet_small_1xb8-400i_{}-128x128.py"
# Name -> leaf, height and width.
CONFIGS = {
    "MaskAttn-UNet small, semantic": (SMALL.format("dsb2018-semantic"), (128, 128)),
    "MaskAttn-UNet small, instance": (SMALL.format("dsb2018-instance"), (128, 128)),
    "MaskAttn-UNet small, panoptic": (SMALL.format("demo-panoptic"), (128, 128)),
    "MA-Net small": ("manet/manet_small_1xb8-400i_dsb2018-semantic-128x128.py", (128, 128)),
    "refine_best": ("mask_refine/refine_best.py", (256, 256)),
    "refine attn32-256": (
        "mask_refine/refine-unet_attn32-256-bound_1xb1-50e_coco-refinement-full.py",
        (256, 256),
    ),
    "IAUNet small-fast": (
        "iaunet/iaunet_small-fast_1xb4-1200i_dsb2018-instance-128x128.py",
        (128, 128),
    ),
    "CSPAM-SOLOv2 R50 small": (
        "cspam_solov2/cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256.py",
        (160, 256),
    ),
}
# What is added for the second size, which the export itself does not look at.
ADDED = (32, 64)


def measure(leaf: str, size: tuple[int, int], repeats: int) -> dict[str, Any]:
    """Export a leaf, compare, and time both in turns."""
    import onnxruntime
    from safetensors.torch import save

    from attnseg.apis.benchmark_inputs import build_model
    from attnseg.apis.export import INPUT, RawOutputs, compare, onnx_bytes

    network = RawOutputs(build_model(leaf)).eval()
    start = time.perf_counter()
    data = onnx_bytes(network, size, dynamic=True)
    seconds = time.perf_counter() - start
    first = compare(network, data, (1, network.channels, *size))
    wide = (size[0] + ADDED[0], size[1] + ADDED[1])
    second = compare(network, data, (2, network.channels, *wide))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    image = torch.randn(1, network.channels, *size)
    state = {key: value.clone().contiguous() for key, value in network.model.state_dict().items()}
    runs = {"torch": lambda: network(image), "onnx": lambda: session.run(None, feed)}
    feed = {INPUT: image.numpy()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    with torch.no_grad():
        for turn in range(repeats + 2):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if turn > 1:
                    times[name].append(time.perf_counter() - start)
    ratios = [b / a for a, b in zip(times["torch"], times["onnx"], strict=True)]
    return {
        "params_m": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "weights_mb": len(save(state)) / 1e6,
        "onnx_mb": len(data) / 1e6,
        "export_s": seconds,
        "sizes": [list(first.shape), list(second.shape)],
        "errors": [first.error, second.error],
        "largest_outputs": [first.scale, second.scale],
        "torch_ms": 1e3 * statistics.median(times["torch"]),
        "onnx_ms": 1e3 * statistics.median(times["onnx"]),
        "onnx_over_torch": statistics.median(ratios),
    }


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error("--repeats must be 1 or more")
    setup_env()
    torch.set_num_threads(1)
    figures = {name: measure(*CONFIGS[name], args.repeats) for name in args.models}
    header = [
        "model",
        "params M",
        "weights MB",
        "onnx MB",
        "error at",
        "error",
        "error at",
        "error",
    ]
    header += ["torch ms", "onnxruntime ms", "onnxruntime over torch"]
    rows = []
    for name, row in figures.items():
        cells = [name, row["params_m"], row["weights_mb"], row["onnx_mb"]]
        for shape, error in zip(row["sizes"], row["errors"], strict=True):
            cells += ["x".join(map(str, shape)), f"{error:.1e}"]
        rows.append([*cells, row["torch_ms"], row["onnx_ms"], row["onnx_over_torch"]])
    print_table(header, rows)
    import onnx
    import onnxruntime

    payload = {
        "setting": "one image, float32, cpu, one thread each, in turns in one process",
        "versions": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "models": figures,
        "worst_error": max(max(row["errors"]) for row in figures.values()),
    }
    standard = all(value == parser.get_default(key) for key, value in vars(args).items())
    report("export" if standard else "export_custom", payload, 1)


if __name__ == "__main__":
    main()
