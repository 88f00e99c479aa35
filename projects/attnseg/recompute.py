"""Compute again in the backward pass what would take much memory to keep."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


# A graph of torch.compile ends here: it cannot hold the context of the second pass.
@torch.compiler.disable(recursive=False)
def recompute(
    function: Callable[..., Any],
    *inputs: Any,
    owner: nn.Module,
    random: bool = False,
    **named: Any,
) -> Any:
    """Call a function whose intermediate results are not kept for the backward pass.

    As torch's activation checkpointing, with two differences: without gradients it is a plain
    call, and batch norms count each batch once, though they see it twice.

    Args:
        function: what to call.
        inputs: its arguments.
        owner: holds the norms that the function uses.
        random: whether the function draws random numbers, as dropout does; then it draws the
            same again.
        named: its keyword arguments.
    """
    if not torch.is_grad_enabled():
        return function(*inputs, **named)
    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=random,
        context_fn=lambda: (nullcontext(), _statistics_at_rest(owner)),
        **named,
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
