"""Training data as a function of the step: the same samples, augmented the same way.

Each sample is drawn under a seed of its own, made of the run's seed and its place in the order of
the whole training. So a resumed training sees what it would have seen without the break, with any
number of data workers; and N processes with batches of B see what one sees with a batch of N x B,
for samplers that deal samples out in turn, as mmengine's do.
"""

import functools
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader, Sampler, get_worker_info

from attnseg.engine.step_seed import seed_cpu, seeded

# Tells the seeds of samples from those of training steps.
_SAMPLES = 1


class Draw(int):
    """The index of a sample that knows its place: ``(epoch, number in the epoch)``."""

    place: tuple[int, int]

    @classmethod
    def at(cls, index: int, place: tuple[int, int]) -> "Draw":
        """An index with its place."""
        draw = cls(index)
        draw.place = place
        return draw


class PlacedBatches(Sampler[list[Draw]]):
    """Batches of another batch sampler, whose indices know their place; can start in the midst.

    Args:
        batches: The batch sampler around ``sampler``.
        rank: Number of this process.
        world_size: Number of processes.
    """

    def __init__(self, batches: Any, rank: int, world_size: int) -> None:
        self._batches, self._rank, self._world_size = batches, rank, world_size
        self._start = 0
        self.sampler, self.batch_size = batches.sampler, batches.batch_size
        self.drop_last = getattr(batches, "drop_last", False)

    def start_at(self, number: int) -> None:
        """Let the next iteration begin behind ``number`` batches; no data are loaded for them."""
        self._start = number

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        start, self._start = self._start, 0
        epoch = int(getattr(self.sampler, "epoch", 0))
        for number, batch in enumerate(self._batches):
            if number >= start:
                first = number * self.batch_size
                yield [
                    Draw.at(index, (epoch, (first + slot) * self._world_size + self._rank))
                    for slot, index in enumerate(batch)
                ]


class EndlessBatches:
    """A data loader, over and over: what IterBasedTrainLoop reads. Skips without loading.

    Args:
        loader: A loader that :func:`place_samples` has prepared.
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader, self._iterator, self._epoch = loader, None, 0

    def __iter__(self) -> "EndlessBatches":
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._loader)
        try:
            return next(self._iterator)
        except StopIteration:
            self._begin(self._epoch + 1)
            self._iterator = iter(self._loader)
            return next(self._iterator)

    def skip_iter(self, steps: int) -> None:
        """Go on behind ``steps`` batches from the very first."""
        batches: Any = self._loader.batch_sampler
        epoch = 0
        # Of other samplers the length may be that of a pass which never ends.
        if type(batches.sampler) is DefaultSampler and len(batches):
            epoch, steps = divmod(steps, len(batches))
        self._begin(epoch)
        batches.start_at(steps)
        self._iterator = None

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        set_epoch = getattr(self._loader.batch_sampler.sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)


def place_samples(loader: DataLoader, seed: int, rank: int, world_size: int) -> None:
    """Have a loader draw each sample under the seed of its place; once for each loader.

    Args:
        loader: With a data set that has indices; changed in place, before it is first read.
        seed: Of the run.
        rank: Number of this process.
        world_size: Number of processes.
    """
    if loader.batch_sampler is None or isinstance(loader.batch_sampler, PlacedBatches):
        return
    # torch refuses to set this attribute later; a new loader would forget the sampler, which
    # mmengine's hooks ask for.
    vars(loader)["batch_sampler"] = PlacedBatches(loader.batch_sampler, rank, world_size)
    # torch's fetcher prefers this method: the data set itself stays what it is for all others.
    loader.dataset.__getitems__ = functools.partial(_draw, loader.dataset, seed)


def _draw(dataset: Any, seed: int, indices: list[int]) -> list[Any]:
    return [
        _draw_one(dataset, seed, index) if isinstance(index, Draw) else dataset[index]
        for index in indices
    ]


def _draw_one(dataset: Any, seed: int, index: Draw) -> Any:
    key = (seed, *index.place, _SAMPLES)
    if get_worker_info() is not None:
        # Nothing else draws in a worker: what was before need not come back.
        seed_cpu(*key)
        return dataset[int(index)]
    with seeded(*key):
        return dataset[int(index)]
