"""Is a run worse than the best, or is the difference within what the images and seeds explain?

Both runs are computed on the same bootstrap draws of the images, as
`attnseg.evaluation.bootstrap.paired_differences` does for two single runs; rows of several seeds
by the means of their seeds. Where no row has two seeds, the percentiles of the drawn differences
are the interval. Else the variance over seeds is pooled over the rows, as in an analysis of
variance, and added to that over images: the interval is that of Student's t with Welch and
Satterthwaite's degrees of freedom (Welch, Biometrika 34, 1947), in which the images count as known.
A row of one seed gets the pooled variance too: that its luck is unseen does not make it certain.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from attnseg.evaluation.bootstrap import bounds, centred, resample_weights
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
    except KeyError as error:
        raise ValueError(
            f"the per-image statistics of {table.metric} do not give '{key}' (lacking: {error})"
        ) from error


class Sampler:
    """Values of single runs on the same draws of the images.

    Args:
        key: Full key of a metric.
        resamples: Number R of draws, at least 1.
    """

    def __init__(self, key: str, resamples: int = 1000) -> None:
        self.key, self.resamples = key, resamples
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
            self._weights = resample_weights(len(names), self.resamples, seed=0)
            self._like, self._names = table, sorted(names)
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
    values: Sequence[Sequence[float]],
    level: float = 0.95,
) -> list[Difference | None]:
    """Compare every row with the best, which is the first.

    Args:
        rows: For each row the draws (R,) of its seeds; no seeds where there are no statistics.
        values: For each row the values of its seeds.
        level: Coverage of the intervals.

    Returns:
        Differences to the best, None for the best itself and where one of the two has no draws.
    """
    variance, freedom = _pooled_variance(values)
    found: list[Difference | None] = []
    for position, draws in enumerate(rows):
        if position == 0 or not draws or not rows[0]:
            found.append(None)
            continue
        drawn = np.mean(draws, axis=0) - np.mean(rows[0], axis=0)
        drawn = drawn[~np.isnan(drawn)]
        if not drawn.size:
            found.append(None)
            continue
        delta = float(np.mean(values[position]) - np.mean(values[0]))
        if freedom:
            over_seeds = variance * (1 / len(values[position]) + 1 / len(values[0]))
            low, high = _welch(delta, float(drawn.var()), over_seeds, freedom, level)
        else:
            low, high = bounds(centred(drawn, delta), level)
        found.append(Difference(delta, low, high))
    return found


def _pooled_variance(values: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Variance over seeds within the rows, and its degrees of freedom."""
    groups = [np.asarray(group) for group in values if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return (squares / freedom if freedom else 0.0), freedom


def _welch(
    delta: float, over_images: float, over_seeds: float, freedom: int, level: float
) -> tuple[float, float]:
    total = over_images + over_seeds
    effective = freedom * (total / over_seeds) ** 2 if over_seeds else math.inf
    half = float(student_t.ppf((1 + level) / 2, effective)) * math.sqrt(total)
    return delta - half, delta + half
