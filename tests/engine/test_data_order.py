"""Samples and their augmentations by place, with any number of workers and processes."""

import pickle
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset

from attnseg.engine.data_order import Draw, EndlessBatches, PlacedBatches, place_samples


class Noisy(Dataset):
    """Each sample: its index, and what three generators give."""

    def __init__(self, size: int) -> None:
        self.size, self.metainfo = size, {"classes": ("a",)}

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        assert type(index) is int
        return index, random.random(), float(np.random.rand()), float(torch.rand(()))


class OfRank:
    """A sampler as it is in one of several processes."""

    def __init__(self, sampler: Any, rank: int, world: int) -> None:
        sampler.rank, sampler.world_size = rank, world
        if isinstance(sampler, InfiniteSampler):
            sampler.indices = sampler._indices_of_rank()
        else:
            sampler.num_samples = len(sampler) // world
        self.sampler = sampler


def loader(
    kind: type = InfiniteSampler, size: int = 10, batch: int = 2, workers: int = 0, **place: int
) -> DataLoader:
    dataset = Noisy(size)
    rank, world = place.get("rank", 0), place.get("world_size", 1)
    sampler = OfRank(kind(dataset, shuffle=True, seed=5), rank, world).sampler
    found: Any = DataLoader(
        dataset, batch_size=batch, sampler=sampler, num_workers=workers, collate_fn=list
    )
    place_samples(found, 3, rank, world)
    return found


def batches(data: DataLoader, number: int, skip: int = 0) -> list[list[tuple]]:
    endless = EndlessBatches(data)
    if skip:
        endless.skip_iter(skip)
    return [next(endless) for _ in range(number)]


@pytest.mark.parametrize("kind", [InfiniteSampler, DefaultSampler])
def test_workers_change_nothing(kind: type) -> None:
    alone = batches(loader(kind), 8)
    assert alone == batches(loader(kind, workers=1), 8) == batches(loader(kind, workers=2), 8)


@pytest.mark.parametrize("kind", [InfiniteSampler, DefaultSampler])
@pytest.mark.parametrize("skip", [1, 4, 5, 7, 13])
@pytest.mark.parametrize("size", [10, 11])
def test_skipping_goes_on_as_if_nothing_had_been(kind: type, skip: int, size: int) -> None:
    whole = batches(loader(kind, size), skip + 6)
    assert batches(loader(kind, size), 6, skip) == whole[skip:]


def test_skipped_samples_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    original = Noisy.__getitem__
    monkeypatch.setattr(Noisy, "__getitem__", lambda self, i: loaded.append(i) or original(self, i))
    batches(loader(size=1000), 1, skip=300)
    assert len(loaded) == 2


@pytest.mark.parametrize("kind", [InfiniteSampler, DefaultSampler])
@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_batch_of_one(kind: type, world: int) -> None:
    alone = batches(loader(kind, size=16, batch=8), 5)
    parts = [
        batches(loader(kind, size=16, batch=8 // world, rank=rank, world_size=world), 5)
        for rank in range(world)
    ]
    for step, whole in enumerate(alone):
        assert sorted(sum((part[step] for part in parts), [])) == sorted(whole)


def test_samples_of_a_second_pass_are_augmented_anew() -> None:
    first, second = batches(loader(DefaultSampler, size=4, batch=4), 2)
    assert {sample[0] for sample in first} == {sample[0] for sample in second} == {0, 1, 2, 3}
    assert not {sample[1:] for sample in first} & {sample[1:] for sample in second}


def test_the_generators_of_the_training_are_left_alone() -> None:
    torch.manual_seed(0)
    expected = float(torch.rand(()))
    torch.manual_seed(0)
    data = loader()
    list(data.dataset.__getitems__([Draw.at(1, (0, 1)), Draw.at(2, (0, 2))]))
    assert float(torch.rand(())) == expected


def test_the_loader_stays_what_it_was_for_others() -> None:
    data = loader()
    assert isinstance(data.dataset, Noisy) and data.batch_size == 2
    assert isinstance(data.sampler, InfiniteSampler)
    before = data.batch_sampler
    place_samples(data, 3, 0, 1)
    assert data.batch_sampler is before
    plain = data.dataset.__getitems__([4])[0]
    assert plain[0] == 4 and plain != data.dataset.__getitems__([4])[0]


def test_a_draw_survives_the_way_to_a_worker() -> None:
    draw = pickle.loads(pickle.dumps(Draw.at(7, (2, 30))))
    assert draw == 7 and draw.place == (2, 30)


def test_starting_in_the_midst_holds_for_one_pass() -> None:
    class Plain:
        epoch = 4

        def __iter__(self) -> Iterator[int]:
            return iter(range(7))

        def __len__(self) -> int:
            return 7

    found = PlacedBatches(BatchSampler(Plain(), 2, drop_last=False), rank=1, world_size=3)
    found.start_at(2)
    assert list(found) == [[4, 5], [6]] and len(found) == 4
    assert [draw.place for batch in found for draw in batch] == [(4, 3 * i + 1) for i in range(7)]
