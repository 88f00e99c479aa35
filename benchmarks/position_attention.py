"""MA-Net's position attention against its materialised form (scores, softmax, product).

64x64 tokens, 64 channels of queries and keys, 512 of values, no scale, float32: once the attention
itself with q, k, v given, once the whole block with its five convolutions; each forward only and
as a training step (gradients of all inputs and parameters). Each alternative runs in its own
process. Memory is given twice: the growth of resident pages, which holds scratch space of kernels,
and the bytes of tensors alive, without what was there before.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import Measurement, measure, print_table, report
from torch import Tensor

from attnseg.engine.tensor_memory import TensorMemory
from attnseg.layers import pixel_attention
from attnseg.manet import PositionAttentionBlock
from attnseg.manet import position_attention as module

WIDTH = 64


def materialised(q: Tensor, k: Tensor, v: Tensor, scale: float = 1.0) -> Tensor:
    """The chapter's formula with the full matrix, as :func:`pixel_attention` takes it."""
    scores = q @ k.transpose(-1, -2)
    if scale != 1:
        scores = scores * scale
    return torch.softmax(scores, -1) @ v


def attention_step(
    dense: bool, side: int, channels: int, training: bool, count: bool = False
) -> Callable[[], Any]:
    """The attention alone: gives the output and, in training, gradients of q, k and v."""
    attend = materialised if dense else pixel_attention

    def call(q: Tensor, k: Tensor, v: Tensor, grad: Tensor) -> list[Tensor]:
        leaves = [q, k, v]
        out = attend(q, k, v, scale=1.0)
        return [out.detach(), *(torch.autograd.grad(out, leaves, grad) if training else ())]

    def inputs(tokens: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        shapes = [(1, 1, tokens, c) for c in (WIDTH, WIDTH, channels, channels)]
        made = [torch.randn(s, generator=generator) for s in shapes]
        # Logits of a spread of 1: a softmax that is neither flat nor of one key.
        made[0].mul_(WIDTH**-0.5)
        return [*(t.requires_grad_(training) for t in made[:3]), made[3]]

    # Loads the libraries, so that their memory is not counted.
    call(*inputs(64))
    return _counted(call, inputs(side * side), count)


def block_step(
    dense: bool, side: int, channels: int, training: bool, count: bool = False
) -> Callable[[], Any]:
    """The whole block on a map of 256 channels; in training, gradients of all parameters."""
    if dense:
        module.pixel_attention = materialised
    torch.manual_seed(0)
    block = PositionAttentionBlock(256, channels, WIDTH).requires_grad_(training)
    with torch.no_grad():
        # At its start, 0, the attention would not show in the output.
        block.alpha.fill_(0.5)

    def call(x: Tensor) -> list[Tensor]:
        out = block(x)
        if not training:
            return [out]
        names, parameters = zip(*block.named_parameters(), strict=True)
        grads = dict(zip(names, torch.autograd.grad(out.square().mean(), parameters), strict=True))
        return [out.detach(), *(grads[f"{n}.weight"] for n in ("query", "key", "value"))]

    call(torch.randn(1, 256, 8, 8))
    x = torch.randn(1, 256, side, side, generator=torch.Generator().manual_seed(0))
    return _counted(call, [x], count)


def _counted(
    call: Callable[..., list[Tensor]], inputs: list[Tensor], count: bool
) -> Callable[[], Any]:
    """The call with arrays for its result, or with the peak of its tensors in MiB."""
    if not count:
        return lambda: [t.numpy() for t in call(*inputs)]

    def peak() -> float:
        with TensorMemory() as memory:
            memory.track({"input": inputs})
            before = memory.alive
            call(*inputs)
        return (memory.peak - before) / 2**20

    return peak


def compare(side: int, channels: int, threads: int, repeats: int) -> dict[str, Any]:
    """Measure both forms of both parts and return every figure of the report."""
    figures: dict[str, Any] = {
        "setting": f"{side}x{side} tokens, queries {WIDTH}, values {channels} channels, batch 1, "
        "scale 1, float32; the block has 256 input channels"
    }
    rows = []
    for part, factory in (("attention", attention_step), ("block", block_step)):
        for name, training in (("forward", False), ("training", True)):
            found: dict[str, Measurement] = {}
            tensors: dict[str, float] = {}
            for form, dense in (("dense", True), ("ours", False)):
                print(f"{part} {name} {form} ...", flush=True)
                args = (dense, side, channels, training)
                found[form] = measure(factory, *args, threads=threads, repeats=repeats)
                tensors[form] = measure(factory, *args, True, threads=threads, repeats=1).value
                rows.append(
                    [part, name, form, found[form].seconds, found[form].peak_mib, tensors[form]]
                )
            own, other = found["ours"], found["dense"]
            figures[f"{part}_{name}"] = {
                "seconds_dense": other.seconds,
                "seconds_ours": own.seconds,
                "time_ratio": other.seconds / own.seconds,
                "resident_mib_dense": other.peak_mib,
                "resident_mib_ours": own.peak_mib,
                "resident_ratio": other.peak_mib / max(own.peak_mib, 1e-3),
                "tensor_mib_dense": tensors["dense"],
                "tensor_mib_ours": tensors["ours"],
                "tensor_ratio": tensors["dense"] / tensors["ours"],
                "max_abs_difference": _differences(own.value, other.value),
                "max_abs": [float(np.abs(b).max()) for b in other.value],
            }
    print_table(["part", "pass", "form", "seconds", "resident MiB", "tensor MiB"], rows)
    return figures


def _differences(ours: list[np.ndarray], theirs: list[np.ndarray]) -> list[float]:
    """Largest difference of the output and of the gradients to queries, keys and values."""
    return [float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True)]


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    figures = compare(args.side, args.channels, args.threads, args.repeats)
    full = (args.side, args.channels) == (64, 512)
    name = "position_attention" if full else "position_attention_custom"
    report(name, figures, args.threads)


if __name__ == "__main__":
    main()
