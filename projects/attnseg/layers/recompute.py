"""Compute again in the backward pass what would take much memory to keep."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(function: Callable[..., Any], *inputs: Any, owner: nn.Module) -> Any:
    """Call a function whose intermediate results are not kept for the backward pass.

    As torch's activation checkpointing, with two differences: without gradients it is a plain
    call, and batch norms count each batch once, though they see it twice.

    Args:
        function: without random numbers.
        inputs: its arguments.
        owner: holds the norms that the function uses.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _statistics_at_rest(owner)),
    )


@contextmanager
def _statistics_at_rest(owner: nn.Module) -> Iterator[None]:
    norms = [m for m in owner.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
