"""Randomness as a function of where it is drawn, not of what was drawn before.

A training that goes on from a checkpoint then draws what it would have drawn without the break,
and nobody has to store the state of four generators for each process and each data worker.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(*key: int) -> None:
    """Seed Python, numpy and torch, GPUs included, from a key of numbers.

    Args:
        key: Non-negative integers: the run's seed, then what tells this place from the others.
    """
    torch.manual_seed(_seed_numpy(key))


def seed_cpu(*key: int) -> None:
    """The same without GPUs, in a tenth of the time.

    Args:
        key: As for :func:`seed_everything`.
    """
    torch.default_generator.manual_seed(_seed_numpy(key))


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Draw from generators seeded by ``key`` on the CPU, then give back the ones of before.

    Args:
        key: As for :func:`seed_everything`.
    """
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    seed_cpu(*key)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.random.set_rng_state(before[2])


def _seed_numpy(key: tuple[int, ...]) -> int:
    """Seed Python and numpy; returns the seed for torch, below 2**63, which all of it takes."""
    words = np.random.SeedSequence(key).generate_state(7).tolist()
    random.seed(words[0])
    np.random.seed(words[1:5])
    return (words[5] << 31) | (words[6] >> 1)
