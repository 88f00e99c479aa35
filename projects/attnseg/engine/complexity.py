"""Parameters, multiply-accumulates and latency of a model, attention counted.

mmengine's counter does not see ``scaled_dot_product_attention`` at all; torch's misses its fused
CPU kernel and the fast path of ``nn.MultiheadAttention``. Here each attention is counted, and no
N x N matrix is made for it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Inputs = Tensor | Callable[[nn.Module], Any]


@dataclass(frozen=True)
class Complexity:
    """Size and work of a model.

    Attributes:
        params: Parameters, shared ones counted once.
        macs: Multiply-accumulates of convolutions, matrix products and attention in one forward
            pass; norms, activations, pooling and resampling are not counted, as is usual.
    """

    params: int
    macs: int


@dataclass(frozen=True)
class Latency:
    """Wall time of one forward pass in milliseconds.

    Attributes:
        p50: Median.
        p95: 95th percentile, linear between measurements.
    """

    p50: float
    p95: float


def count(model: nn.Module, inputs: Inputs) -> Complexity:
    """Count a model in eval mode, without gradients; the model's mode is restored.

    Args:
        model: Any module. Matrix products inside custom operators (mmcv's) are not seen.
        inputs: The tensor of ``model(inputs)``, or a function that gets the model and runs what
            is to be counted, such as ``lambda m: m(x, mode="tensor")``.
    """
    run = _as_function(inputs)
    params = sum(p.numel() for p in model.parameters())
    counter = FlopCounterMode(display=False, custom_mapping=_fused_cpu_attention())
    with (
        _evaluating(model),
        _without_parameter_hooks(model),
        _without_mha_fast_path(),
        _without_compilation(),
        counter,
    ):
        run(model)
    return Complexity(params, counter.get_total_flops() // 2)


def latency(model: nn.Module, inputs: Inputs, repeats: int = 20, warmup: int = 3) -> Latency:
    """Time the forward pass of one model in eval mode, without gradients.

    Args:
        model: Any module; on a GPU each pass is waited for.
        inputs: As for :func:`count`.
        repeats: Timed passes, at least 1.
        warmup: Untimed passes before them.

    Raises:
        ValueError: If there is no pass to time.
    """
    return latencies({"": (model, inputs)}, repeats, warmup)[""]


def latencies(
    models: Mapping[str, tuple[nn.Module, Inputs]], repeats: int = 20, warmup: int = 3
) -> dict[str, Latency]:
    """Time several models in turns, so that a busy moment of the machine hits all of them.

    Args:
        models: Name -> model and inputs, each as for :func:`latency`.
        repeats: Timed passes of each model, at least 1.
        warmup: Untimed passes of each before them.

    Raises:
        ValueError: If there is no pass to time.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(
            f"repeats must be at least 1 and warmup at least 0, got {repeats} and {warmup}"
        )
    milliseconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(-warmup, repeats):
        for name, (model, inputs) in models.items():
            elapsed = _time_once(model, _as_function(inputs))
            if turn >= 0:
                milliseconds[name].append(1e3 * elapsed)
    return {
        name: Latency(*(float(q) for q in np.percentile(values, (50, 95))))
        for name, values in milliseconds.items()
    }


def _time_once(model: nn.Module, run: Callable[[nn.Module], Any]) -> float:
    on_gpu = any(p.is_cuda for p in model.parameters())
    with _evaluating(model):
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        run(model)
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - start


def _as_function(inputs: Inputs) -> Callable[[nn.Module], Any]:
    if isinstance(inputs, Tensor):
        return lambda model: model(inputs)
    return inputs


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _without_parameter_hooks(model: nn.Module) -> Iterator[None]:
    # The counter hooks the gradient of each input of a module, which without a graph fails for a
    # parameter that one module hands to another.
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _without_mha_fast_path() -> Iterator[None]:
    # In eval mode nn.MultiheadAttention becomes one fused call, which no counter knows.
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _without_compilation() -> Any:
    """Run compiled code as it was written: a counter sees nothing of a compiled call."""
    set_stance = getattr(torch.compiler, "set_stance", None)  # torch 2.6 and later
    return nullcontext() if set_stance is None else set_stance("force_eager")


def _fused_cpu_attention() -> dict[Any, Callable[..., int]]:
    """Formula of the CPU kernel; torch's counter knows those of the GPU.

    Forcing the unfused path instead would be counted too, but takes 4 GiB for one layer of four
    heads at 128x128.
    """

    def flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return sdpa_flop_count(query, key, value)

    return {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: flops}
