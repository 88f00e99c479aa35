"""Size, latency and training memory of IAUNet beside mmdet's Mask2Former-R50 and the paper.

(a) Parameters and MACs of all variants at one image. Ours are multiply-accumulates (MACs) of
convolutions, matrix products and attention. The paper's figure for ResNets is twice the MACs of
convolutions and of linear layers with bias; the column "2x conv+linear" has twice those of
convolutions and all linear layers, those of ``nn.MultiheadAttention`` among them, without the
products of attention. Which operators its figures for Swin hold is unknown.

(b) Latency of the raw outputs and of ``predict``, models in turns in one process, eval mode, random
weights (how long post-processing takes depends on them: an indication only).

(c) Peak memory of a training step with N = 100 queries and the same 20 objects an image: bytes of
all tensors alive, parameters and gradients included. "peak" is of forward, loss and backward, no
optimizer; "with AdamW" is of these and the optimizer's step, its state of two numbers a parameter
there from an earlier step. Beside it stands by how much the process (or torch on a GPU) grew during
the first step, without an optimizer. On a CPU the deformable attention of Mask2Former runs on plain
torch, which keeps what the compiled operator of a GPU does not: "sampling recomputed" drops it, and
is the peer to be compared with.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from common import measure, print_table, report
from iaunet_models import FAST, FULL, LEAF, PEER, PEER_CONFIG, RECOMPUTED, build, build_named
from torch import nn

from attnseg.compat import operators_compiled, setup_env
from attnseg.engine.complexity import count, latencies
from attnseg.engine.memory import MIB
from attnseg.engine.tensor_memory import TensorMemory

# Millions of parameters and GFLOPs of the paper's Table 1.
PUBLISHED = {"r50": (65, 292.6), "r101": (84, 331.6), "swin-s": (77, 328), "swin-b": (117, 412)}
SMALL = "iaunet/iaunet_small_1xb4-1200i_dsb2018-instance-128x128.py"


def variants(encoders: list[str]) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Name -> config, values for the head, encoder."""
    found = {}
    for encoder in encoders:
        config = SMALL if encoder == "small" else LEAF.format(encoder)
        whole = encoder == "r50"
        for variant in ("paper", "code"):
            for update in ("both", "instance", "none") if whole else ("both", "instance"):
                for preset in ("full", "fast") if whole else ("full",):
                    head = {"variant": variant, "pixel_update": update, "preset": preset}
                    found[f"{encoder} {variant} {update} {preset}"] = (config, head, encoder)
    return found


def count_sizes(size: int, encoders: list[str]) -> dict[str, dict[str, float | None]]:
    """Parameters, MACs and the paper's figures."""
    from attnseg.apis.benchmark_inputs import make_pass

    figures = {}
    for name, (config, head, encoder) in variants(encoders).items():
        model = build(config, **head)
        run = make_pass(model, "tensor", (size, size), 1, "cpu")
        published = PUBLISHED.get(encoder, (None, None))
        figures[name] = {**_size(model, run), "paper_m": published[0], "paper_g": published[1]}
    peer = build(PEER_CONFIG)
    run = make_pass(peer, "tensor", (size, size), 1, "cpu")
    figures[PEER] = {**_size(peer, run), "paper_m": None, "paper_g": None}
    return figures


def _size(model: nn.Module, run: Callable[[nn.Module], Any]) -> dict[str, float]:
    products = 0

    def add(module: nn.Module, inputs: Any, options: Any, output: Any) -> None:
        nonlocal products
        if isinstance(module, nn.MultiheadAttention):
            # Its four layers are weights that it multiplies without calling a module.
            tensors = [*inputs, *(options[k] for k in ("query", "key", "value") if k in options)]
            query, key, value = tensors[:3]
            numbers = 2 * query.numel() + key.numel() + value.numel()
            products += numbers * module.embed_dim
        else:
            products += output.numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(add, with_kwargs=True)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.MultiheadAttention))
    ]
    cost = count(model, run)
    for hook in hooks:
        hook.remove()
    return {
        "params_m": cost.params / 1e6,
        "gmacs": cost.macs / 1e9,
        "conv_linear_x2_g": 2 * products / 1e9,
    }


def time_models(size: int, repeats: int, device: str) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of the raw pass and of ``predict``, in milliseconds."""
    from attnseg.apis.benchmark_inputs import make_pass

    models = {name: build_named(name).to(device) for name in (PEER, FAST, FULL)}
    figures: dict[str, dict[str, float]] = {name: {} for name in models}
    for kind, mode in (("raw", "tensor"), ("predict", "predict")):
        pairs = {
            name: (model, make_pass(model, mode, (size, size), 1, device))
            for name, model in models.items()
        }
        for name, time in latencies(pairs, repeats, warmup=1).items():
            figures[name].update({f"{kind}_ms_p50": time.p50, f"{kind}_ms_p95": time.p95})
    return figures


def make_samples(size: int, batch: int, objects: int) -> list[Any]:
    """Samples with that many square objects each, the same for all models."""
    import numpy as np
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    rng = np.random.default_rng(0)
    side = size // 10
    shape = (size, size)
    samples = []
    for index in range(batch):
        corners = rng.integers(0, size - side, (objects, 2))
        masks = np.zeros((objects, *shape), np.uint8)
        for mask, (x, y) in zip(masks, corners, strict=True):
            mask[y : y + side, x : x + side] = 1
        meta = dict.fromkeys(("img_shape", "ori_shape", "batch_input_shape"), shape)
        sample = DetDataSample(metainfo={**meta, "img_id": index})
        sample.gt_instances = InstanceData(
            labels=torch.zeros(objects, dtype=torch.long), masks=BitmapMasks(masks, *shape)
        )
        samples.append(sample)
    return samples


def training_step(
    name: str, size: int, batch: int, objects: int, device: str
) -> Callable[[], dict[str, Any]]:
    """A step, at first as it is, so that the process can be watched, then with accounting."""
    model = build_named(name).to(device).train()
    images = torch.randn(batch, 3, size, size).to(device)
    samples = [sample.to(device) for sample in make_samples(size, batch, objects)]

    def step(optimizer: torch.optim.Optimizer | None = None) -> None:
        loss, _ = model.parse_losses(model.loss(images, samples))
        loss.backward()
        if optimizer:
            optimizer.step()
        model.zero_grad(set_to_none=True)

    def account(optimizer: torch.optim.Optimizer | None = None) -> tuple[TensorMemory, int]:
        state = optimizer.state.values() if optimizer else ()
        with TensorMemory() as memory:
            memory.track(
                {
                    "parameter": model.parameters(),
                    "buffer": model.buffers(),
                    "optimizer": [v for part in state for v in part.values() if torch.is_tensor(v)],
                    "input": [images],
                }
            )
            before = memory.alive
            step(optimizer)
        return memory, before

    calls = 0

    def run() -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 1:
            step()
            return {}
        memory, before = account()
        largest = [
            {"mib": h.nbytes / MIB, "made_by": h.made_by, "shape": list(h.shape)}
            for h in memory.at_peak()[:10]
        ]
        adamw = torch.optim.AdamW(model.parameters())
        step(adamw)
        return {
            "peak_mib": memory.peak / MIB,
            "peak_adamw_mib": account(adamw)[0].peak / MIB,
            "before_mib": before / MIB,
            "largest": largest,
        }

    return run


def measure_memory(
    size: int, batches: list[int], objects: int, threads: int, device: str
) -> dict[str, dict[str, Any]]:
    """Peaks of each model and batch size, each in a process of its own."""
    names = [PEER, RECOMPUTED, FULL, FAST] if device == "cpu" else [PEER, FULL, FAST]
    figures = {}
    for batch in batches:
        for name in names:
            print(f"training {name}, batch {batch} ...", flush=True)
            args = (name, size, batch, objects, device)
            found = measure(training_step, *args, repeats=1, threads=threads, device=device)
            grown = {"step_grew_mib": found.peak_mib}
            figures[f"{name}, batch {batch}"] = {**found.value, **grown}
    return figures


def ratios(
    latency: dict[str, dict[str, float]], memory: dict[str, dict[str, Any]], batches: list[int]
) -> dict[str, float]:
    """Ours over Mask2Former's: what is asked for is a ratio of at most 1."""
    found = {
        f"{name.rpartition(' ')[2]}_over_peer_{kind}": latency[name][f"{kind}_ms_p50"]
        / latency[PEER][f"{kind}_ms_p50"]
        for name in (FAST, FULL)
        for kind in ("raw", "predict")
    }
    for batch in batches:
        for peer, label in ((PEER, "peer"), (RECOMPUTED, "recomputed")):
            theirs = memory.get(f"{peer}, batch {batch}")
            for name in (FAST, FULL) if theirs else ():
                ours = memory[f"{name}, batch {batch}"]
                for kind, what in (("", "peak_mib"), ("_adamw", "peak_adamw_mib")):
                    key = f"{name.rpartition(' ')[2]}_over_{label}_memory{kind}_batch{batch}"
                    found[key] = ours[what] / theirs[what]
    return found


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side, 32 or more")
    everything = [*PUBLISHED, "small"]
    parser.add_argument("--encoders", nargs="*", choices=everything, default=everything)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2], help="of training")
    parser.add_argument("--objects", type=int, default=20, help="in an image, for training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    setup_env()
    torch.set_num_threads(args.threads)
    sizes = count_sizes(args.size, args.encoders)
    columns = ["params M", "GMACs", "2x conv+linear G", "paper M", "paper GFLOPs"]
    print_table(["model", *columns], [[name, *row.values()] for name, row in sizes.items()])
    latency = time_models(args.size, args.repeats, args.device)
    columns = ["raw ms", "raw p95", "predict ms", "predict p95"]
    print_table(["model", *columns], [[name, *row.values()] for name, row in latency.items()])
    memory = measure_memory(args.size, args.batches, args.objects, args.threads, args.device)
    columns = ["peak MiB", "with AdamW", "before the step", "step grew by"]
    keys = ("peak_mib", "peak_adamw_mib", "before_mib", "step_grew_mib")
    print_table(["training", *columns], [[n, *(r[k] for k in keys)] for n, r in memory.items()])
    compared = ratios(latency, memory, args.batches)
    print_table(["ratio", "value"], [[name, value] for name, value in compared.items()])
    payload = {
        "setting": f"{args.size}x{args.size}, 1 class, N=100, {args.objects} objects, random "
        f"weights, float32, {args.device}",
        "sizes": sizes,
        "latency": latency,
        "memory": memory,
        "ratios": compared,
        "mmcv_operators": operators_compiled(),
    }
    given = {key: value for key, value in vars(args).items() if key != "device"}
    standard = given == {key: parser.get_default(key) for key in given}
    name = "iaunet" if args.device == "cpu" else "iaunet_cuda"
    report(name if standard else f"{name}_custom", payload, args.threads)


if __name__ == "__main__":
    main()
