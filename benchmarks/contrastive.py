"""Exact instance contrastive loss in linear memory against the dense formula (Eq. 4 to 6).

128x128 pixels, 16 dimensions, 30 instances, forward and backward. Each alternative runs in its own
process; agreement is measured in float64, time and memory in float32. The dense formula in float64
needs about 9 GiB; ``--size`` makes everything smaller.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from common import Measurement, measure, print_table, report
from torch import Tensor
from torch.nn.functional import normalize

from attnseg.losses import instance_contrastive

TEMPERATURE = 0.1
LossFunction = Callable[[Tensor, Tensor], Tensor]


def dense_loss(embedding: Tensor, instance: Tensor) -> Tensor:
    """Eq. 4 to 6 with all pairs in one matrix, differentiated by autograd."""
    scores = embedding @ embedding.T / TEMPERATURE
    same = instance[:, None] == instance[None]
    same.fill_diagonal_(False)
    partners = same.sum(1)
    pull = torch.where(same, scores, 0).sum(1) / partners.clamp(min=1)
    del same
    itself = torch.eye(len(instance), dtype=torch.bool)
    log_d = scores.masked_fill(itself, -torch.inf).logsumexp(1)
    return (log_d - pull)[partners > 0].mean()


def make_image(size: int, dim: int, instances: int) -> tuple[Tensor, Tensor]:
    """Unit embeddings (N, dim) in float64 around a centre for each Voronoi cell of the image."""
    generator = torch.Generator().manual_seed(0)
    grid = torch.cartesian_prod(torch.arange(size), torch.arange(size)).double()
    seeds = torch.rand(instances, 2, generator=generator, dtype=torch.float64) * size
    instance = torch.cdist(grid, seeds).argmin(1)
    centres = torch.randn(instances, dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(size * size, dim, generator=generator, dtype=torch.float64)
    return normalize(centres[instance] + noise, dim=1), instance


def step(loss: LossFunction, size: int, dim: int, instances: int, dtype: torch.dtype) -> Callable:
    """Forward and backward of a loss; returns loss and gradient."""

    def call(embedding: Tensor, instance: Tensor) -> tuple[float, np.ndarray]:
        leaf = embedding.clone().requires_grad_()
        value = loss(leaf, instance)
        value.backward()
        return value.item(), leaf.grad.numpy()

    # Loads the libraries, so that their memory is not counted.
    call(*[t[:64] for t in make_image(8, dim, 2)])
    embedding, instance = make_image(size, dim, instances)
    embedding = embedding.to(dtype)
    return lambda: call(embedding, instance)


def dense(*args: int, dtype: torch.dtype) -> Callable:
    """Factory of the dense formula."""
    return step(dense_loss, *args, dtype=dtype)


def exact(*args: int, dtype: torch.dtype) -> Callable:
    """Factory of ours."""
    return step(lambda e, i: instance_contrastive(e, i, TEMPERATURE), *args, dtype=dtype)


def compare(size: int, dim: int, instances: int, threads: int, repeats: int) -> dict[str, object]:
    """Measure both and return every figure of the report."""
    shape = (size, dim, instances)

    def run(factory: Callable, dtype: torch.dtype, repeats: int) -> Measurement:
        print(f"{factory.__name__} {dtype} ...", flush=True)
        return measure(factory, *shape, dtype=dtype, threads=threads, repeats=repeats)

    ours, theirs = run(exact, torch.float32, repeats), run(dense, torch.float32, repeats)
    ours64, theirs64 = run(exact, torch.float64, 1), run(dense, torch.float64, 1)
    gradient = theirs64.value[1]
    print_table(
        ["form", "type", "seconds", "peak MiB", "loss"],
        [
            [name, dtype, m.seconds, m.peak_mib, m.value[0]]
            for name, dtype, m in [
                ("dense", "float32", theirs),
                ("exact", "float32", ours),
                ("dense", "float64", theirs64),
                ("exact", "float64", ours64),
            ]
        ],
    )
    return {
        "setting": f"{size}x{size} pixels, {dim}-d, {instances} instances, forward + backward",
        "loss_error_float64": abs(ours64.value[0] - theirs64.value[0]),
        "gradient_error_float64": float(np.abs(ours64.value[1] - gradient).max()),
        "gradient_relative_error_float64": float(
            np.abs(ours64.value[1] - gradient).max() / np.abs(gradient).max()
        ),
        "seconds_exact": ours.seconds,
        "seconds_dense": theirs.seconds,
        "time_ratio": theirs.seconds / ours.seconds,
        "peak_mib_exact": ours.peak_mib,
        "peak_mib_dense": theirs.peak_mib,
        "memory_ratio": theirs.peak_mib / ours.peak_mib,
    }


def main() -> None:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128, help="pixels of a side")
    parser.add_argument("--dim", type=int, default=16, help="embedding dimensions")
    parser.add_argument("--instances", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    figures = compare(args.size, args.dim, args.instances, args.threads, args.repeats)
    full = (args.size, args.dim, args.instances) == (128, 16, 30)
    report("contrastive" if full else "contrastive_custom", figures, args.threads)


if __name__ == "__main__":
    main()
