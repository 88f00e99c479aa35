"""The size of a model among the metrics of a run (NeuralSegmentello, Table 2)."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from attnseg.engine.cost import unwrapped
from attnseg.engine.memory import MIB
from attnseg.registry import HOOKS


@HOOKS.register_module()
class SizeHook(Hook):
    """Add ``size/weights_mib`` and, in a training, ``size/training_mib`` to each evaluation.

    The first is what the model's parameters and buffers take, the second these and the state of
    the optimizer: what a checkpoint of a training holds. 1 MiB is 2^20 bytes.
    """

    # Before the hooks that keep and write the metrics.
    priority = "VERY_HIGH"

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Measure weights and optimizer."""
        self._add(runner, metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Measure the weights."""
        self._add(runner, metrics)

    def _add(self, runner: Runner, metrics: dict[str, float] | None) -> None:
        if metrics is None:
            return
        weights = _bytes(unwrapped(runner.model).state_dict())
        metrics["size/weights_mib"] = weights / MIB
        state = getattr(runner.optim_wrapper, "state_dict", dict)()
        if state:
            metrics["size/training_mib"] = (weights + _bytes(state)) / MIB


def _bytes(value: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
