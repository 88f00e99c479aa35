"""Is a run worse than the best, or is the difference within what the images and seeds explain?

Both runs are computed on the same bootstrap draws of the images, as
`attnseg.evaluation.bootstrap.paired_differences` does for two single runs. Where a row stands for
several seeds, its seeds are drawn with replacement too, and each draw compares the means: an
interval of the difference that contains zero then accounts for images and for seeds.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.bootstrap import resample_weights
from attnseg.evaluation.scores import score
from attnseg.leaderboard.records import Record
from attnseg.per_image import PerImageTable, image_names, read_tables

_CHUNK = 100


class Difference(NamedTuple):
    """A row minus the best one.

    Attributes:
        delta: Difference of the values.
        low: Lower bound.
        high: Upper bound.
    """

    delta: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether zero is outside the interval."""
        return not self.low <= 0 <= self.high


def find_table(record: Record, key: str) -> tuple[PerImageTable, str]:
    """Read the statistics of the evaluator that a metric's key belongs to.

    Returns:
        The table, and the key without the table's prefix.

    Raises:
        ValueError: If the record has none, they cannot be read, or none of them has this metric.
    """
    path = record.beside("per_image")
    if path is None:
        raise ValueError(f"the record '{record.path}' has no per-image statistics.")
    try:
        tables = read_tables(path)
    except FileNotFoundError as error:
        raise ValueError(f"'{path}' is missing.") from error
    first, _, rest = key.partition("/")
    for table in tables.values():
        if table.prefix == first and rest:
            return table, rest
    for table in tables.values():
        if not table.prefix:
            return table, key
    raise ValueError(f"'{path}' has no statistics for the metric '{key}'.")


def values_of(table: PerImageTable, weights: NDArray[np.integer], key: str) -> NDArray[np.float64]:
    """One metric (R,) for weights (R, n); see `attnseg.evaluation.scores.score`.

    Raises:
        ValueError: If the statistics do not give it.
    """
    try:
        return score(table, weights)[key]
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"the per-image statistics of {table.metric} do not give '{key}' (lacking: {error})"
        ) from error


class Sampler:
    """Values of single runs on the same draws of the images.

    Args:
        key: Full key of a metric.
        resamples: Number R of draws.
        seed: Of the draws.
    """

    def __init__(self, key: str, resamples: int = 1000, seed: int = 0) -> None:
        self.key, self.resamples, self.seed = key, resamples, seed
        self._names: list[str] | None = None
        self._weights: NDArray[np.int32] | None = None
        self._like: PerImageTable | None = None

    def draw(self, record: Record) -> NDArray[np.float64]:
        """Compute the metric of a run on each draw (R,).

        Raises:
            ValueError: If there are no usable statistics, or their images, classes or settings are
                not those of the first run.
        """
        table, key = find_table(record, self.key)
        names = image_names(table)
        order = np.argsort(names, kind="stable")
        if self._like is None:
            if len(set(names)) != len(names) or not names:
                raise ValueError("the images are not told apart by their names")
            self._like, self._names = table, sorted(names)
            self._weights = resample_weights(len(names), self.resamples, self.seed)
        for what in ("metric", "settings", "classes"):
            if getattr(table, what) != getattr(self._like, what):
                raise ValueError(f"'{record.path}' has other {what} in its per-image statistics")
        if sorted(names) != self._names:
            raise ValueError(f"'{record.path}' was evaluated on other images")
        weights = np.empty_like(self._weights)
        weights[:, order] = self._weights
        chunks = (weights[i : i + _CHUNK] for i in range(0, len(weights), _CHUNK))
        return np.concatenate([values_of(table, chunk, key) for chunk in chunks])


def row_differences(
    rows: Sequence[Sequence[NDArray[np.float64]]],
    exact: Sequence[float],
    best: int,
    level: float = 0.95,
    seed: int = 0,
) -> list[Difference | None]:
    """Compare every row with the best.

    Args:
        rows: For each row the draws (R,) of its seeds; no seeds where there are no statistics.
        exact: The rows' values.
        best: Position of the best row.
        level: Share of the draws inside the interval.
        seed: Of the draws of seeds.

    Returns:
        Differences to the best, None for the best itself and where one of the two has no draws.
    """
    means = [_mean_over_seeds(draws, seed, position) for position, draws in enumerate(rows)]
    found: list[Difference | None] = []
    for position, mean in enumerate(means):
        if position == best or mean is None or means[best] is None:
            found.append(None)
            continue
        delta = mean - means[best]
        known = delta[~np.isnan(delta)]
        if not known.size:
            found.append(None)
            continue
        low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
        found.append(Difference(exact[position] - exact[best], float(low), float(high)))
    return found


def _mean_over_seeds(
    draws: Sequence[NDArray[np.float64]], seed: int, position: int
) -> NDArray[np.float64] | None:
    if not draws:
        return None
    values = np.stack(draws)
    if len(values) == 1:
        return values[0]
    generator = np.random.default_rng([seed, zlib.crc32(b"seeds"), position])
    chosen = generator.integers(0, len(values), values.shape)
    return np.take_along_axis(values, chosen, axis=0).mean(axis=0)
