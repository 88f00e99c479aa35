"""Weights, gradients and optimizer states spread over processes (FSDP), with plain checkpoints."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from attnseg.errors import InputError
from attnseg.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class ShardedModel(nn.Module):
    """A model whose weights every process holds a part of, by torch's ``fully_shard``.

    mmengine's wrapper is of the older FullyShardedDataParallel, with which its clipping takes the
    norm of the local part for that of the gradient. Here a model stays whole until
    :meth:`shard`, so that it is initialized, and a checkpoint loaded, as ever.

    Args:
        module: The model.
    """

    def __init__(self, module: BaseModel) -> None:
        super().__init__()
        self.module = module

    @property
    def sharded(self) -> bool:
        """Whether :meth:`shard` was called."""
        return isinstance(self.module, FSDPModule)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, torch.Tensor]:
        """One step; gradients are summed over the processes only where weights are updated."""
        if self.sharded:
            self.module.set_requires_gradient_sync(optim_wrapper.should_sync())
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: Any) -> list[Any]:
        """Predictions of a batch."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list[Any]:
        """Predictions of a batch."""
        return self.module.test_step(data)

    def shard(self, blocks: list[nn.Module], optim_wrapper: OptimWrapper) -> None:
        """Keep this process' part of weights and optimizer states, and free the rest.

        Scalars stay whole, and their gradients are averaged before each update.

        Args:
            blocks: Modules whose weights are gathered just while they compute; all others are
                gathered once a step.
            optim_wrapper: Of all weights; may hold the states of a checkpoint.

        Raises:
            InputError: Gradients are to be clipped, and some weight is a scalar.
        """
        scalars = [w for w in self.module.parameters() if not w.dim() and w.requires_grad]
        if scalars and optim_wrapper.clip_grad_kwargs:
            name = next(name for name, w in self.module.named_parameters() if not w.dim())
            raise InputError(
                f"scale.strategy=fsdp: the scalar weight {name} cannot be sharded, and gradients "
                "of both kinds cannot be clipped together. Use scale.strategy=ddp, or take "
                "optim_wrapper.clip_grad out."
            )
        for weight in self.module.parameters():
            weight.data = weight.data.contiguous()  # not channels last, which torch refuses
        device = get_device()
        mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
        names = {id(weight): name for name, weight in self.module.named_parameters()}
        for block in blocks:
            if any(True for _ in block.parameters()):
                fully_shard(block, mesh=mesh, ignored_params=set(scalars))
        fully_shard(self.module, mesh=mesh, ignored_params=set(scalars))
        weights = dict(self.module.named_parameters())
        optimizer = optim_wrapper.optimizer
        states = {}
        for group in optimizer.param_groups:
            whole = group["params"]
            group["params"] = [weights[names[id(weight)]] for weight in whole]
            for old, new in zip(whole, group["params"], strict=True):
                if old in optimizer.state:
                    states[new] = _sharded_state(optimizer.state[old], new)
        optimizer.state.clear()
        optimizer.state.update(states)
        if scalars:
            optim_wrapper.step = _averaging(optim_wrapper.step, scalars)

    def gather(self) -> None:
        """Hold all weights until :meth:`release`: processes may then compute on their own."""
        for module in self._groups():
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()

    def release(self) -> None:
        """Undo :meth:`gather`."""
        for module in self._groups():
            module.set_reshard_after_forward(module is not self.module, recurse=False)
            module.reshard()

    def _groups(self) -> list[FSDPModule]:
        return [module for module in self.module.modules() if isinstance(module, FSDPModule)]

    @contextmanager
    def whole_states(self, optim_wrapper: OptimWrapper) -> Iterator[None]:
        """Have ``state_dict`` of model and optimizer return plain, whole tensors on the CPU.

        All processes have to enter; what they gather only the first keeps.
        """
        for module in self._groups():
            module.reshard()
        with torch.no_grad():
            weights = _whole(self.module.state_dict())
            states = _whole(optim_wrapper.state_dict())
        owners = {self.module: weights, optim_wrapper: states}
        for owner, state in owners.items():
            owner.__dict__["state_dict"] = lambda *_, state=state, **__: state
        try:
            yield
        finally:
            for owner in owners:
                del owner.__dict__["state_dict"]


def _averaging(step: Callable[..., None], weights: list[nn.Parameter]) -> Callable[..., None]:
    @functools.wraps(step)
    def average_and_step(**kwargs: Any) -> None:
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            all_reduce(weight.grad, "mean")
        step(**kwargs)

    return average_and_step


def _sharded_state(state: dict[str, Any], weight: DTensor) -> dict[str, Any]:
    return {
        key: distribute_tensor(value.contiguous(), weight.device_mesh, weight.placements)
        if isinstance(value, torch.Tensor) and value.shape == weight.shape and value.dim()
        else value
        for key, value in state.items()
    }


def _whole(state: Any) -> Any:
    keep = torch.distributed.get_rank() == 0

    def plain(value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        full = value.full_tensor()
        return full.cpu() if keep else None

    return tree_map(plain, state)
