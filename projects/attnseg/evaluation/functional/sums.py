"""Weighted sums of per-image statistics, and means over classes."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weighted_sum(weights: NDArray[np.integer], values: NDArray) -> Array:
    """Sum statistics over the images of each resample.

    Args:
        weights: Counts (R, n).
        values: Statistics (n, ...), without NaN.

    Returns:
        Sums (R, ...), float64: exact for integers below 2^53.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(weights) == 1:
        # A matrix product adds in another order with other numbers of threads; the value that a
        # run reports must not depend on them.
        counts = weights[0].reshape(-1, *[1] * (values.ndim - 1))
        return (counts * values).sum(axis=0, keepdims=True)
    return np.tensordot(weights.astype(np.float64), values, axes=1)


def weighted_mean(weights: NDArray[np.integer], values: NDArray) -> Array:
    """Average over the images of each resample that define a value; NaN where none does.

    Args:
        weights: Counts (R, n).
        values: Statistics (n, ...), NaN where an image does not define one.
    """
    defined = ~np.isnan(values)
    total = weighted_sum(weights, np.where(defined, values, 0.0))
    return ratio(total, weighted_sum(weights, defined))


def ratio(part: Array, whole: Array) -> Array:
    """Divide; NaN where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def mean_of_defined(values: Array, axis: int = -1) -> Array:
    """Mean along an axis without the NaNs; NaN (and no warning) where nothing is defined."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return ratio(total, defined.sum(axis=axis).astype(np.float64))
