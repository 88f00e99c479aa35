"""Pixel attention with a dynamic key mask against the materialised formula (Eq. 1).

One head over 128x128 tokens of 64 channels, ``softmax(Q K^T / sqrt(d) + M) V`` with M = log
sigmoid of one logit a key, float32. Each alternative runs in its own process, once forward only
(no gradients wanted) and once forward and backward to Q, K, V and the mask logits.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from common import Measurement, measure, print_table, report
from torch import Tensor
from torch.nn.functional import logsigmoid

from attnseg.layers import pixel_attention

AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
NAMES = ("output", "query", "key", "value", "mask")


def materialised(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Eq. 1 with the full matrix, (B, heads, N, d) and a bias (B, N)."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias[:, None, None]
    return torch.softmax(scores, -1) @ v


def make_inputs(tokens: int, channels: int) -> list[Tensor]:
    """Q, K, V (1, 1, N, C), mask logits (1, N) and the gradient of the output."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 1, tokens, channels)] * 3 + [(1, tokens), (1, 1, tokens, channels)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def step(attention: AttentionFunction, tokens: int, channels: int, backward: bool) -> Callable:
    """Returns the output and, with ``backward``, the four gradients as arrays."""

    def call(q: Tensor, k: Tensor, v: Tensor, logits: Tensor, grad: Tensor) -> list[np.ndarray]:
        leaves = [t.clone().requires_grad_(backward) for t in (q, k, v, logits)]
        out = attention(*leaves[:3], logsigmoid(leaves[3]))
        if backward:
            out.backward(grad)
        return [t.detach().numpy() for t in (out, *(leaf.grad for leaf in leaves if backward))]

    # Loads the libraries, so that their memory is not counted.
    call(*make_inputs(64, channels))
    inputs = make_inputs(tokens, channels)
    return lambda: call(*inputs)


def dense(*args: int, backward: bool) -> Callable:
    """Factory of the materialised formula."""
    return step(materialised, *args, backward=backward)


def ours(*args: int, backward: bool) -> Callable:
    """Factory of :func:`attnseg.layers.pixel_attention`."""
    return step(pixel_attention, *args, backward=backward)


def compare(tokens: int, channels: int, threads: int, repeats: int) -> dict[str, object]:
    """Measure both and return every figure of the report."""

    def run(factory: Callable, backward: bool) -> Measurement:
        print(f"{factory.__name__}{' with backward' if backward else ''} ...", flush=True)
        return measure(
            factory, tokens, channels, backward=backward, threads=threads, repeats=repeats
        )

    passes = {"forward": False, "forward_backward": True}
    figures: dict[str, object] = {
        "setting": f"{tokens} tokens, {channels} channels, 1 head, dynamic key mask, float32"
    }
    rows = []
    for name, backward in passes.items():
        own, other = run(ours, backward), run(dense, backward)
        for label, one in (("dense", other), ("pixel_attention", own)):
            rows.append([name, label, one.seconds, one.peak_mib])
            figures[f"{name}_seconds_{label}"] = one.seconds
            figures[f"{name}_peak_mib_{label}"] = one.peak_mib
        figures[f"{name}_time_ratio"] = other.seconds / own.seconds
        figures[f"{name}_memory_ratio"] = other.peak_mib / max(own.peak_mib, 1e-3)
    print_table(["pass", "form", "seconds", "peak MiB"], rows)
    for name, mine, reference in zip(NAMES, own.value, other.value, strict=True):
        kind = "error" if name == "output" else "gradient_error"
        figures[f"max_abs_{kind}_{name}"] = float(np.abs(mine - reference).max())
        figures[f"max_abs_{name}"] = float(np.abs(reference).max())
    return figures


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128 * 128)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    figures = compare(args.tokens, args.channels, args.threads, args.repeats)
    full = (args.tokens, args.channels) == (128 * 128, 64)
    report("attention" if full else "attention_custom", figures, args.threads)


if __name__ == "__main__":
    main()
