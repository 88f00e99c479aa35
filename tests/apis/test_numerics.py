"""Training in half precision: every loss, gradient and weight stays finite in each room.

``ATTNSEG_TEST_STEPS`` is the length of the trainings. From 100 steps on, the loss has to fall by
at least half of what it falls by in float32: two short trainings differ by chance as well.
"""

import os
from pathlib import Path

import pytest
import torch

from tests.apis.numerics import ROOMS, fall, numerics_config, watched

STEPS = int(os.environ.get("ATTNSEG_TEST_STEPS", "2"))
LONG = 100


@pytest.mark.parametrize("room", ROOMS)
def test_bf16_stays_finite_and_learns(
    room: str, data_root: Path | None, demo_set: Path, tmp_path: Path
) -> None:
    losses = {}
    for precision in ("bf16", "fp32") if STEPS >= LONG else ("bf16",):
        cfg = numerics_config(room, data_root, demo_set, tmp_path / precision, STEPS, precision)
        losses[precision] = watched(cfg)
        assert len(losses[precision]) == STEPS
    if STEPS >= LONG:
        first, last = fall(losses["fp32"])
        assert last < first
        assert fall(losses["bf16"])[1] < (first + last) / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 needs a GPU, and there is none")
@pytest.mark.parametrize("room", ROOMS)
def test_fp16_stays_finite_on_a_gpu(
    room: str, data_root: Path | None, demo_set: Path, tmp_path: Path
) -> None:
    cfg = numerics_config(room, data_root, demo_set, tmp_path, max(STEPS, 20), "fp16")
    # Steps whose scaled gradients overflow are left out by the scaler, and are not seen here.
    first, last = fall(watched(cfg))
    assert last < 2 * first
