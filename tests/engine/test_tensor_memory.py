"""Tensor memory: cases that can be counted by hand, and the resident pages of the process."""

import gc
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from attnseg.engine.memory import MIB
from attnseg.engine.tensor_memory import TensorMemory

KIB = 1024


def kib(count: int = 1) -> torch.Tensor:
    """That many KiB of float32 ones."""
    return torch.ones(count * KIB // 4)


def test_released_tensors_do_not_count_and_the_peak_stays() -> None:
    with TensorMemory() as memory:
        a = kib(3)
        b = a + a
        assert memory.alive == 6 * KIB
        del a
        assert memory.alive == 3 * KIB
        del b
    assert memory.alive == 0
    assert memory.peak == 6 * KIB


def test_views_and_work_in_place_count_once() -> None:
    with TensorMemory() as memory:
        a = kib(4)
        view = a.view(2, -1)[1]
        a.mul_(2)
        del a
        assert memory.alive == memory.peak == 4 * KIB
        del view
        assert memory.alive == 0


def test_tensors_of_before_count_once_tracked_or_met() -> None:
    tracked, met, array = kib(1), kib(2), np.ones(KIB, np.float32)
    view = tracked[:5]
    with TensorMemory() as memory:
        memory.track({"parameter": [tracked, view]})
        assert memory.alive == KIB
        met.view(-1)
        assert memory.alive == 3 * KIB
        shared = torch.from_numpy(array).view(-1)
        assert memory.alive == 7 * KIB
    assert [(h.made_by, h.nbytes) for h in memory.at_peak()] == [
        ("outside", 4 * KIB),
        ("outside", 2 * KIB),
        ("parameter", KIB),
    ]
    assert shared.shape == (KIB,)


def test_a_resized_storage_counts_with_its_new_size() -> None:
    with TensorMemory() as memory:
        a = kib(1)
        a.resize_(5 * KIB // 4)
        assert memory.alive == 5 * KIB
        del a
        assert memory.alive == 0


def test_what_backward_needs_is_kept_and_then_freed() -> None:
    x = kib(8).requires_grad_()
    with TensorMemory() as memory:
        memory.track({"input": [x]})
        # Each exp keeps its result for the backward pass; a chain of additions keeps nothing.
        y = x.exp().exp()
        assert memory.alive == 3 * 8 * KIB
        z = (y + 1 + 1 + 1).sum()
        assert memory.alive == 3 * 8 * KIB + 4
        del y
        z.backward()
        del z
        gc.collect()
        assert memory.alive == 2 * 8 * KIB  # x and its gradient
    # While the sum is under way: x, two results, and two links of the chain.
    assert memory.peak >= 5 * 8 * KIB


def test_peak_of_a_linear_layer_by_hand() -> None:
    """Parameters + input + output + gradient of the output + gradients of the parameters."""
    layer = torch.nn.Linear(16, 32, bias=False)
    x = torch.ones(64, 16)
    with TensorMemory() as memory:
        memory.track({"parameter": layer.parameters(), "input": [x]})
        out = layer(x)
        out.backward(torch.ones_like(out))
    weight, given, made = 16 * 32 * 4, 64 * 16 * 4, 64 * 32 * 4
    assert memory.peak == weight + given + made + made + weight
    assert sum(h.nbytes for h in memory.at_peak()) == memory.peak
    assert {h.made_by for h in memory.at_peak()} == {"parameter", "input", "mm", "ones_like"}


def test_checkpoints_lower_the_peak_and_keep_the_gradient() -> None:
    def chain(x: torch.Tensor) -> torch.Tensor:
        for _ in range(6):
            x = x.sin()
        return x

    found = {}
    for name in ("plain", "checkpoint"):
        x = kib(16).requires_grad_()
        with TensorMemory() as memory:
            y = x
            for _ in range(4):
                y = checkpoint(chain, y, use_reentrant=False) if name == "checkpoint" else chain(y)
            y.sum().backward()
        found[name] = (memory.peak, x.grad)
    assert found["checkpoint"][0] < 0.6 * found["plain"][0]
    assert torch.equal(found["checkpoint"][1], found["plain"][1])


def test_sparse_and_meta_tensors_are_left_out() -> None:
    with TensorMemory() as memory:
        meta = torch.ones(1000, device="meta") + 1
        sparse = torch.eye(2).to_sparse()
    assert meta.is_meta and sparse.is_sparse
    assert memory.peak < 200


RESIDENT = """
import torch
from attnseg.engine.memory import MIB, peak_resident, reset_peak, resident
from attnseg.engine.tensor_memory import TensorMemory

def work():
    # Above 32 MiB, the allocator takes pages from the system for each and gives them back.
    x = torch.ones(9 * MIB, requires_grad=True)
    y = x
    for _ in range(4):
        y = y.sin()
    y.sum().backward()

work()  # whatever is loaded or cached at first
if reset_peak():
    before = resident()
    work()
    grown = peak_resident() - before
    with TensorMemory() as memory:
        work()
    print(grown, memory.peak)
"""


def test_agrees_roughly_with_resident_pages() -> None:
    # In a process of its own: what ran before may keep the allocator from giving pages back.
    printed = subprocess.run(
        [sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True, timeout=120
    ).stdout.split()
    if not printed:
        pytest.skip("this system does not let the peak be reset")
    grown, counted = map(int, printed[-2:])
    # Its gradient, what it is computed from, and four results that are kept for it.
    assert counted >= 6 * 36 * MIB
    assert grown == pytest.approx(counted, rel=0.15)
