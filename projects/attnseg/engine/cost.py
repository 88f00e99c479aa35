"""What a run costs: forward times and throughput of its loops, MACs of one image, memory."""

import copy
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from attnseg.engine.complexity import Latency, count
from attnseg.engine.forward import raw_forward
from attnseg.engine.memory import MIB, peak_resident


class SampleCost(NamedTuple):
    """Work for one image: parameters, multiply-accumulates, shape (1, C, H, W) of the input."""

    params: int
    macs: int
    input: tuple[int, ...] | None


class ForwardMeter:
    """Times the forward passes in ``predict`` mode of an evaluation loop, batch by batch.

    The views of test-time augmentation add up. Keeps one number per batch.

    Args:
        warmup: Batches left out at the start, at most half of all.
    """

    def __init__(self, warmup: int = 5) -> None:
        self.warmup = warmup
        self._handles: list[Any] = []
        self._clear()

    def _clear(self) -> None:
        self._seconds: list[float] = []
        self._batch = self._began = 0.0
        self._first = self._last = 0.0
        self._images = 0

    def start(self, model: nn.Module) -> None:
        """Forget what was measured and watch the model, which is not wrapped."""
        self.stop()
        self._clear()
        on_gpu = any(parameter.is_cuda for parameter in model.parameters())

        def now() -> float:
            if on_gpu:
                torch.cuda.synchronize()
            return time.perf_counter()

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._began = now()

        def after(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
        ) -> None:
            if kwargs.get("mode", args[2] if len(args) > 2 else "tensor") == "predict":
                self._batch += now() - self._began

        self._handles = [
            model.register_forward_pre_hook(before, with_kwargs=True),
            model.register_forward_hook(after, with_kwargs=True),
        ]

    def end_batch(self, images: int) -> None:
        """Count a finished batch of that many images."""
        self._last = time.perf_counter()
        if self._seconds:
            self._images += images
        else:
            # Workers start and kernels are chosen during the first batch.
            self._first = self._last
        self._seconds.append(self._batch)
        self._batch = 0.0

    def stop(self) -> None:
        """Watch the model no more; what was measured stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def latency(self) -> Latency | None:
        """Time of a batch behind the warm-up; None for fewer than two batches."""
        if len(self._seconds) < 2 or not any(self._seconds):
            return None
        used = self._seconds[min(self.warmup, len(self._seconds) // 2) :]
        p50, p95 = np.percentile(used, (50, 95)) * 1e3
        return Latency(float(p50), float(p95))

    def images_per_second(self) -> float | None:
        """Images of this process behind the first batch per second, loading and metrics included.

        None for fewer than two batches.
        """
        elapsed = self._last - self._first
        return self._images / elapsed if self._images and elapsed > 0 else None


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside the wrappers of distributed training and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def require_whole(model: nn.Module) -> bool:
    """Make sure that this process has all weights and can run the model alone; gives True.

    Raises:
        RuntimeError: A wrapper shards the model: a pass of one process would wait for the others.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        replicated = (BaseTTAModel, nn.DataParallel, nn.parallel.DistributedDataParallel)
        if not isinstance(model, replicated) and getattr(model, "sharded", True):
            raise RuntimeError(f"{type(model).__name__} may have spread it over the processes")
        model = model.module
    return True


def first_image(batch: Any, views: bool = False) -> list[Any]:
    """A copy of the first image of a batch, as a batch: one for each view of the augmentation.

    Args:
        batch: What a data loader gives: fields by name, or a sequence of fields.
        views: Whether each field has the views along its first axis.
    """
    total = len(next(iter(_fields(batch)))) if views else 1

    def part(field: Any, view: int) -> Any:
        own = field[view] if views and field is not None else field
        return None if own is None else copy.deepcopy(own[:1])

    if isinstance(batch, Mapping):
        return [{name: part(field, view) for name, field in batch.items()} for view in range(total)]
    return [[part(field, view) for field in batch] for view in range(total)]


def count_image(model: nn.Module, views: list[Any]) -> SampleCost:
    """Count the raw forward pass of one image; the model and all random states stay as they are.

    Args:
        model: Not wrapped.
        views: From :func:`first_image`; their work is added up.
    """
    shapes = []

    def run(network: nn.Module) -> None:
        for view in views:
            data = network.data_preprocessor(view, False)
            if isinstance(data, Mapping) and "inputs" in data:
                inputs, samples = data["inputs"], data.get("data_samples")
                shapes.append(getattr(inputs, "shape", None))
                raw_forward(network, inputs, samples)
            elif isinstance(data, Mapping):
                network(**data, mode="tensor")
            else:
                network(*data, mode="tensor")

    with _same_random_state():
        found = count(model, run)
    shape = shapes[0] if shapes and shapes[0] is not None else None
    return SampleCost(found.params, found.macs, tuple(shape) if shape is not None else None)


def peak_memory_mib(device: str) -> float:
    """Highest memory so far: allocated by torch on a GPU, else resident in the process."""
    used = torch.cuda.max_memory_allocated() if device == "cuda" else peak_resident()
    return used / MIB


def _fields(batch: Any) -> Any:
    return batch.values() if isinstance(batch, Mapping) else batch


@contextmanager
def _same_random_state() -> Iterator[None]:
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
