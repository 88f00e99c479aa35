"""Generators as functions of a key."""

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnseg.engine.step_seed import seed_everything, seeded

KEYS = st.lists(st.integers(0, 2**40), min_size=1, max_size=4)


def draw() -> tuple[float, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@given(KEYS)
def test_the_same_key_gives_the_same_numbers(key: list[int]) -> None:
    seed_everything(*key)
    first = draw()
    draw()
    seed_everything(*key)
    assert draw() == first
    with seeded(*key):
        assert draw() == first


@given(KEYS, KEYS)
def test_another_key_gives_others(key: list[int], other: list[int]) -> None:
    seed_everything(*key)
    first = draw()
    seed_everything(*other)
    # SeedSequence takes zeros at the end for nothing.
    strip = [list(k) for k in (key, other)]
    for k in strip:
        while len(k) > 1 and k[-1] == 0:
            k.pop()
    if strip[0] != strip[1]:
        assert all(a != b for a, b in zip(first, draw(), strict=True))


def test_the_generators_of_before_come_back_also_after_an_error() -> None:
    seed_everything(1)
    expected = [draw(), draw()]
    seed_everything(1)
    found = [draw()]
    try:
        with seeded(2):
            draw()
            raise KeyError
    except KeyError:
        found.append(draw())
    assert found == expected


def test_neighbouring_steps_do_not_look_alike() -> None:
    values = []
    for step in range(2000):
        seed_everything(0, 0, step)
        values.append(draw())
    columns = np.array(values)
    assert np.all(np.abs(columns.mean(0) - 0.5) < 0.03)
    for column in columns.T:
        assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 0.08
