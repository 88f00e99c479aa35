"""Memory of tensors on any device, by accounting: what is alive, the peak, and what made it.

Resident pages of a process also hold libraries, caches of the allocator and scratch space of
kernels, and differ from machine to machine; the storages of tensors do not.
"""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Holding:
    """A storage that was alive at the peak.

    Attributes:
        nbytes: Its size.
        made_by: Operator that returned it first, or the name it was given.
        shape: Of the tensor seen first on it.
        dtype: Of that tensor.
    """

    nbytes: int
    made_by: str
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass
class _Entry:
    holding: Holding
    born: int
    died: int | None = None
    nbytes: int = 0
    watch: weakref.ref | None = None


class TensorMemory(TorchDispatchMode):
    """Counts the bytes of all tensor storages alive while it is active.

    Storages are counted once, however many views they have, from the operator that returns them
    to their release, so tensors kept for the backward pass count and freed ones do not. Memory
    that an operator allocates and frees inside itself is not seen. ``alive`` and ``peak`` are in
    bytes::

        with TensorMemory() as memory:
            memory.track({"parameter": model.parameters(), "input": [images]})
            sum(model.loss(images, samples).values()).backward()
        memory.peak, memory.at_peak()[:5]
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._peak_time = self._time = 0
        self._live: dict[int, _Entry] = {}
        self._log: list[_Entry] = []

    def track(self, groups: dict[str, Iterable[Tensor]]) -> None:
        """Count tensors that were there before, such as parameters, under a name."""
        for name, tensors in groups.items():
            for tensor in tensors:
                self._see(tensor, name)

    def at_peak(self) -> list[Holding]:
        """What was alive at the peak, largest first."""
        time = self._peak_time
        held = [
            entry.holding
            for entry in self._log
            if entry.born <= time and (entry.died is None or entry.died > time)
        ]
        return sorted(held, key=lambda holding: -holding.nbytes)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator and count what it returned."""
        # An array of numpy becomes a tensor without an operator, and is met here first.
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self._see(leaf, "outside")
        out = func(*args, **(kwargs or {}))
        name = str(func).removeprefix("aten.").rpartition(".")[0] or str(func)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._see(leaf, name)
        return out

    def _see(self, tensor: Tensor, made_by: str) -> None:
        if tensor.layout is not torch.strided or tensor.device.type == "meta":
            return
        storage = tensor.untyped_storage()
        key, nbytes = storage._cdata, storage.nbytes()
        known = self._live.get(key)
        if known is not None and known.nbytes == nbytes:
            return
        self._time += 1
        if known is not None:  # resized in place
            self._end(known)
        holding = Holding(nbytes, made_by, tuple(tensor.shape), tensor.dtype)
        entry = _Entry(holding, self._time, nbytes=nbytes)
        # The Python object of a storage lives as long as the storage itself.
        entry.watch = weakref.ref(storage, lambda _: self._release(key, entry))
        self._live[key] = entry
        self._log.append(entry)
        self.alive += nbytes
        if self.alive > self.peak:
            self.peak, self._peak_time = self.alive, self._time

    def _release(self, key: int, entry: _Entry) -> None:
        if self._live.get(key) is entry:
            del self._live[key]
            self._end(entry)

    def _end(self, entry: _Entry) -> None:
        self._time += 1
        entry.died = self._time
        self.alive -= entry.nbytes
