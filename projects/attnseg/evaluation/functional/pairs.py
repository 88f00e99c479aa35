"""Pairs of ids that share pixels in two label maps.

Two maps overlap in few places: counting only the pairs that occur costs no more than the pixels,
where a matrix of all ids would not fit into memory for thousands of them.
"""

import numpy as np
from numpy.typing import NDArray


def count_pairs(
    first: NDArray[np.integer], second: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of all pairs of ids that occur, in ascending order.

    Args:
        first: Ids from 0 on, of any shape.
        second: Ids from 0 on, of the same shape.

    Returns:
        Of K pairs: the id in the first map (K,), the one in the second (K,), and the pixels (K,).
    """
    columns = np.int64(second.max(initial=0)) + 1
    values = first.ravel() * columns + second.ravel()
    # Neighbours are mostly equal: sorting runs in place of pixels is an order faster.
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])
    lengths = np.diff(np.append(starts, len(values)))
    pairs, inverse = np.unique(values[starts], return_inverse=True)
    # Sums of integers below 2^53: exact.
    counts = np.bincount(inverse, lengths, minlength=len(pairs)).astype(np.int64)
    rows, cols = np.divmod(pairs, columns)
    return rows, cols, counts
