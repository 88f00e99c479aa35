"""Image-level bootstrap: how much a result depends on which images the data set happens to have.

The images are drawn with replacement, as many as there are, and the metric is computed again from
the per-image statistics. The interval is made of percentiles of these values (Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993, section 13.3), moved so that their mean is the value that
was measured. Without that an interval of AP lies too high: an image that is drawn twice brings two
equal detections, which the envelope of the precision curve turns into a gain. So moved, it covers
the value expected on other images of this number; for mIoU, PQ and F1 the move is next to nothing.

Two runs on the same images are compared on the same draws, so that what makes an image hard for
both cancels out. An interval says nothing about the spread over training seeds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attnseg.evaluation.scores import score
from attnseg.per_image import PerImageTable, image_names

_CHUNK = 100


class Interval(NamedTuple):
    """A value and the bounds of its interval; NaN where nothing is defined."""

    value: float
    low: float
    high: float


class PairedDifference(NamedTuple):
    """Run A against run B on the same images.

    Attributes:
        a: Value of A.
        b: Value of B.
        delta: A - B.
        low: Lower bound of the difference.
        high: Upper bound of the difference.
        probability: Share of the resampled differences above 0, zeros counted half.
    """

    a: float
    b: float
    delta: float
    low: float
    high: float
    probability: float


def resample_weights(images: int, resamples: int, seed: int) -> NDArray[np.int32]:
    """Draw bootstrap samples: how often each image occurs in each (R, n); rows sum to n.

    Raises:
        ValueError: If there is no image or no resample.
    """
    if images < 1 or resamples < 1:
        raise ValueError(f"cannot draw {resamples} resamples of {images} images: both need 1.")
    generator = np.random.default_rng(seed)
    weights = np.empty((resamples, images), dtype=np.int32)
    for row in weights:
        row[:] = np.bincount(generator.integers(0, images, images), minlength=images)
    return weights


def intervals(
    table: PerImageTable, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Value and bootstrap interval of everything that a metric reports.

    Resamples that do not define a value (no object of a rare class was drawn) are left out of its
    interval.

    Args:
        table: Statistics of one metric.
        resamples: Number R of draws; 1000 give bounds that are stable to some percent of their
            distance.
        level: Share of the resamples inside, in (0, 1).
        seed: Of the draws; the same seed gives the same interval.

    Raises:
        ValueError: If ``level`` is outside (0, 1), or there is no resample.
    """
    _check_level(level)
    values = {key: float(value[0]) for key, value in score(table).items()}
    if not table.images:
        return {key: Interval(value, np.nan, np.nan) for key, value in values.items()}
    drawn = _resampled(table, resample_weights(len(table.images), resamples, seed))
    return {
        key: Interval(value, *bounds(centred(drawn[key], value), level))
        for key, value in values.items()
    }


def paired_differences(
    table_a: PerImageTable,
    table_b: PerImageTable,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, PairedDifference]:
    """Compare two runs on the same images, for every value that both report.

    Raises:
        ValueError: If the metrics, their settings, the classes or the images differ; says how.
    """
    _check_level(level)
    order = _pair(table_a, table_b)
    weights = resample_weights(len(table_a.images), resamples, seed)
    exact_a, exact_b = score(table_a), score(table_b)
    drawn_a, drawn_b = _resampled(table_a, weights), _resampled(table_b, weights[:, order])
    result = {}
    for key in exact_a:
        a, b = float(exact_a[key][0]), float(exact_b[key][0])
        delta = centred(drawn_a[key] - drawn_b[key], a - b)
        better = float(((delta > 0) + 0.5 * (delta == 0)).mean()) if delta.size else np.nan
        result[key] = PairedDifference(a, b, a - b, *bounds(delta, level), better)
    return result


def _pair(table_a: PerImageTable, table_b: PerImageTable) -> list[int]:
    """For each image of B, its position in A."""
    for what in ("metric", "settings", "classes"):
        a, b = getattr(table_a, what), getattr(table_b, what)
        if a != b:
            raise ValueError(
                f"the runs differ in their {what}: {a} and {b}; compare like with like."
            )
    for what in ("is_thing", "group"):
        of_a, of_b = table_a.arrays.get(what), table_b.arrays.get(what)
        if of_a is None and of_b is None:
            continue
        if of_a is None or of_b is None or not np.array_equal(of_a, of_b):
            raise ValueError("the runs differ in which classes are things; they cannot be paired.")
    names_a, names_b = image_names(table_a), image_names(table_b)
    only_a, only_b = sorted(set(names_a) - set(names_b)), sorted(set(names_b) - set(names_a))
    if only_a or only_b:
        raise ValueError(
            f"the runs were evaluated on different images: {len(only_a)} only in A "
            f"({', '.join(only_a[:3])}), {len(only_b)} only in B ({', '.join(only_b[:3])})."
        )
    if len(set(names_a)) != len(names_a) or not names_a:
        raise ValueError("the runs have no images, or several of one name: nothing can be paired.")
    position = {name: index for index, name in enumerate(names_a)}
    return [position[name] for name in names_b]


def _resampled(
    table: PerImageTable, weights: NDArray[np.integer]
) -> dict[str, NDArray[np.float64]]:
    # In parts, so that statistics of many classes and images stay small.
    parts = [score(table, weights[i : i + _CHUNK]) for i in range(0, len(weights), _CHUNK)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def centred(drawn: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Move drawn values so that their mean is what was measured, NaNs left out.

    None is moved beyond the range of what was drawn or measured.
    """
    known = drawn[~np.isnan(drawn)]
    if not known.size or np.isnan(value):
        return np.empty(0)
    low, high = min(known.min(), value), max(known.max(), value)
    return np.clip(known - known.mean() + value, low, high)


def bounds(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Quantiles with a share ``level`` of the values between them; NaN without values."""
    if not values.size:
        return np.nan, np.nan
    low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1; 0.95 is usual.")
