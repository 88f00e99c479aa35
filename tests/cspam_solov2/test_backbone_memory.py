"""CSPAMResNet-50 at the paper's size of 1200x680 within 4 GiB, without a matrix of all pairs."""

import json
import os
import subprocess
import sys

import pytest

# `ru_maxrss` would start at the peak of the process that starts this one.
SCRIPT = """
import json

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnseg.cspam_solov2 import CSPAMResNet
from attnseg.engine.memory import peak_resident


class Sizes(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.seen |= {t.numel() for t in tree_leaves(out) if isinstance(t, Tensor)}
        return out


torch.set_num_threads(1)
model = CSPAMResNet(50).eval()
with torch.no_grad():
    with Sizes() as sizes:
        maps = model(torch.rand(1, 3, 680, 1200))
    peak = peak_resident()
    with Sizes() as dense:
        q = torch.zeros(1, 38 * 22, 8)
        torch.softmax(q @ q.transpose(1, 2), -1)
print(json.dumps([peak, [m.shape for m in maps], list(sizes.seen), list(dense.seen)]))
"""


@pytest.mark.slow
def test_the_papers_size_takes_less_than_4_gib_and_no_matrix_of_all_pairs() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    peak, shapes, sizes, dense = json.loads(result.stdout.splitlines()[-1])
    assert 200 * 2**20 < peak < 4 * 2**30
    sides = [(170, 300), (85, 150), (43, 75), (22, 38)]
    channels = (256, 512, 1024, 2048)
    assert shapes == [[1, c, *side] for c, side in zip(channels, sides, strict=True)]
    matrices = {(h * w) ** 2 for h, w in sides[2:]}
    assert matrices & set(dense), "the matrix would not have been seen"
    assert not matrices & set(sizes)
    # Half of the channels of C5, as a map: what attention is made of was seen.
    assert 1024 * 22 * 38 in sizes
