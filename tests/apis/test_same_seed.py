"""One seed gives one result, to the last bit, in any process.

``ATTNSEG_TEST_STEPS`` is the length of the trainings; a longer one than the default is for runs by
hand.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPO

ROOMS = ("maskattn_unet", "iaunet", "cspam_solov2", "mask_refine", "manet")
STEPS = os.environ.get("ATTNSEG_TEST_STEPS", "2")


def start(root: Path, out: Path, workers: int, seed: int, *rooms: str) -> subprocess.Popen[str]:
    """Train in a process of its own."""
    paths = f"{REPO / 'projects'}:{REPO}:{os.environ.get('PYTHONPATH', '')}"
    # Text hashes differ from process to process, so that an order that hangs on them shows.
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random"}
    command = [sys.executable, str(REPO / "tests/apis/same_seed.py"), str(root), str(out), STEPS]
    return subprocess.Popen(
        [*command, str(workers), str(seed), *rooms],
        env={**env, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcomes(process: subprocess.Popen[str]) -> dict[str, dict[str, Any]]:
    """What came out, by room."""
    text, errors = process.communicate(timeout=3600)
    assert process.returncode == 0, errors[-3000:]
    lines = [line for line in text.splitlines() if line.startswith("OUTCOME ")]
    found = [json.loads(line.removeprefix("OUTCOME ")) for line in lines]
    return {one.pop("room"): one for one in found}


@pytest.mark.slow
def test_one_seed_gives_one_result_in_every_process(demo_set: Path, tmp_path: Path) -> None:
    first = start(demo_set, tmp_path / "first", 2, 0, *ROOMS)
    # The number of workers is no part of the result.
    second = start(demo_set, tmp_path / "second", 1, 0, *ROOMS)
    found, again = outcomes(first), outcomes(second)
    assert set(found) == set(ROOMS)
    for room in ROOMS:
        assert found[room]["metrics"], room
        assert found[room] == again[room], room
    other = outcomes(start(demo_set, tmp_path / "other", 1, 1, "manet"))
    assert other["manet"]["weights"] != found["manet"]["weights"]
