"""From class maps and pixel embeddings to instances: pure numpy functions.

The paper names no clustering; the published code uses connected components of the class map
(its embeddings unused) or DBSCAN with a constant score. Here greedy seeds are clustered by
cosine similarity inside each thing class; connected components stay as the alternative.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EIGHT = np.ones((3, 3), dtype=bool)
NONE = -1

FloatMap = NDArray[np.floating]
IntMap = NDArray[np.integer]
Region = tuple[tuple[slice, slice], NDArray[np.bool_]]


def _class_regions(classes: IntMap, label: int, connected: bool) -> Iterator[Region]:
    """Yield (window, mask inside the window) of each region of a class."""
    mask = classes == label
    if not connected:
        if mask.any():
            yield (slice(None), slice(None)), mask
        return
    components, _ = ndimage.label(mask, EIGHT)
    for i, window in enumerate(ndimage.find_objects(components), start=1):
        yield window, components[window] == i


def connected_components(classes: IntMap, num_things: int) -> IntMap:
    """Give each 8-connected region of a thing class an instance id.

    Args:
        classes: class of each pixel (H, W); things are 0 to ``num_things`` - 1.
        num_things: number of thing classes.

    Returns:
        (H, W) int64: instance ids from 0, -1 where there is no thing.
    """
    instances = np.full(classes.shape, NONE, dtype=np.int64)
    count = 0
    for label in range(num_things):
        for window, mask in _class_regions(classes, label, connected=True):
            instances[window][mask] = count
            count += 1
    return instances


def local_cohesion(embedding: FloatMap, mask: NDArray[np.bool_], radius: int = 1) -> FloatMap:
    """Length of the mean embedding over the masked pixels of a window around each pixel.

    It is 1 where all neighbours point one way, as inside an instance, and falls towards its
    border with another one.

    Args:
        embedding: unit vectors (D, H, W).
        mask: pixels that count (H, W).
        radius: the window has a side of 2 * radius + 1 pixels.

    Returns:
        (H, W) in [0, 1]; 0 outside the mask.
    """
    side = 2 * radius + 1
    weight = ndimage.uniform_filter(mask.astype(np.float32), side, mode="constant")
    masked = embedding * mask
    mean = ndimage.uniform_filter(masked, (0, side, side), mode="constant")
    length = np.linalg.norm(mean, axis=0) / np.maximum(weight, 1e-6)
    return np.where(mask, np.minimum(length, 1.0), 0.0)


def _grow(
    vectors: FloatMap, free: NDArray[np.bool_], seed: int, similarity: float
) -> NDArray[np.bool_]:
    """Free pixels around the prototype that a seed leads to (one mean-shift step)."""
    near = free & (vectors @ vectors[seed] > similarity)
    prototype = vectors[near].mean(0)
    prototype /= max(float(np.linalg.norm(prototype)), 1e-6)
    members = free & (vectors @ prototype > similarity)
    members[seed] = True
    return members


def _cluster_region(
    vectors: FloatMap,
    merit: FloatMap,
    mask: NDArray[np.bool_],
    similarity: float,
    min_area: int,
    connected: bool,
) -> IntMap:
    """Cluster the pixels of one region; ids from 0 in a map of the region's window."""
    rows, cols = np.nonzero(mask)
    free = np.ones(len(rows), dtype=bool)
    ids = np.full(mask.shape, NONE, dtype=np.int64)
    count = 0
    canvas = np.zeros(mask.shape, dtype=bool)
    for seed in np.argsort(-merit, kind="stable"):
        if not free[seed]:
            continue
        members = _grow(vectors, free, seed, similarity)
        if connected:
            canvas[:] = False
            canvas[rows[members], cols[members]] = True
            parts, _ = ndimage.label(canvas, EIGHT)
            members &= parts[rows, cols] == parts[rows[seed], cols[seed]]
        free &= ~members
        if members.sum() >= min_area:
            ids[rows[members], cols[members]] = count
            count += 1
    return _absorb(ids, mask, min_area)


def _absorb(ids: IntMap, mask: NDArray[np.bool_], min_area: int) -> IntMap:
    """Give the pixels of clusters that were too small to the nearest cluster."""
    lost = mask & (ids == NONE)
    if not lost.any():
        return ids
    if (ids == NONE).all():
        # No part was large enough, but the region as a whole may be.
        return np.where(mask & (mask.sum() >= min_area), 0, NONE)
    _, nearest = ndimage.distance_transform_edt(ids == NONE, return_indices=True)
    return np.where(lost, ids[tuple(nearest)], ids)


def cluster_embeddings(
    embedding: FloatMap,
    classes: IntMap,
    probability: FloatMap,
    num_things: int,
    similarity: float = 0.7,
    min_area: int = 4,
    connected: bool = False,
    radius: int = 1,
) -> IntMap:
    """Cluster unit embeddings inside each thing class around greedy seeds.

    The seed is the free pixel of highest class probability x local cohesion; a mean-shift step
    turns it into a prototype; free pixels nearer than ``similarity`` join it. Clusters under
    ``min_area`` go to their nearest neighbour in the same region.

    Args:
        embedding: unit vectors (D, H, W).
        classes: class of each pixel (H, W); things are 0 to ``num_things`` - 1.
        probability: probability of that class (H, W), in [0, 1].
        num_things: number of thing classes.
        similarity: least cosine to the prototype, in (-1, 1).
        min_area: pixels of the smallest instance.
        connected: an instance is one 8-connected region (right for cells); otherwise it may
            lie in parts (right where objects hide each other).
        radius: of the window of :func:`local_cohesion`.

    Returns:
        (H, W) int64: instance ids from 0, -1 where there is no instance.
    """
    instances = np.full(classes.shape, NONE, dtype=np.int64)
    count = 0
    for label in np.unique(classes[classes < num_things]):
        merit_map = local_cohesion(embedding, classes == label, radius) * probability
        for window, mask in _class_regions(classes, label, connected):
            vectors = embedding[(slice(None), *window)][:, mask].T
            ids = _cluster_region(
                vectors, merit_map[window][mask], mask, similarity, min_area, connected
            )
            found = ids != NONE
            instances[window][found] = ids[found] + count
            count += int(ids.max(initial=NONE)) + 1
    return instances


def score_instances(
    instances: IntMap, classes: IntMap, probability: FloatMap, embedding: FloatMap | None
) -> tuple[IntMap, FloatMap, IntMap]:
    """Class, score and area of each instance id 0 to n - 1.

    The score is mean class probability x cohesion, the mean cosine to the instance's
    prototype; cohesion is 1 if ``embedding`` is None.

    Returns:
        labels (n,), scores (n,) in [0, 1], areas (n,) in pixels of the map.
    """
    found = instances != NONE
    ids = instances[found]
    count = int(ids.max(initial=NONE)) + 1
    areas = np.bincount(ids, minlength=count)
    labels = np.zeros(count, dtype=np.int64)
    labels[ids] = classes[found]
    scores = np.bincount(ids, probability[found], count) / np.maximum(areas, 1)
    if embedding is not None:
        sums = np.stack([np.bincount(ids, e[found], count) for e in embedding])
        # The mean cosine of unit vectors to their normalised mean is the length of that mean.
        scores = scores * np.linalg.norm(sums, axis=0) / np.maximum(areas, 1)
    return labels, scores, areas


def enlarge_instances(instances: IntMap, labels: IntMap, classes: IntMap, reach: float) -> IntMap:
    """Carry an instance map over to a larger class map, whose borders it then follows.

    Args:
        instances: ids (h, w) at the size of the network, -1 for none.
        labels: class of each id (n,).
        classes: class map (H, W) at the size wanted.
        reach: pixels farther than this from an instance of their class get none, in pixels
            of the larger map.

    Returns:
        (H, W) int64 ids, -1 for none.
    """
    rows = (np.arange(classes.shape[0]) + 0.5) * instances.shape[0] / classes.shape[0]
    cols = (np.arange(classes.shape[1]) + 0.5) * instances.shape[1] / classes.shape[1]
    ids = instances[rows.astype(int)[:, None], cols.astype(int)[None]]
    class_of = np.append(labels, NONE)
    fits = (ids != NONE) & (class_of[ids] == classes)
    enlarged = np.full(classes.shape, NONE, dtype=np.int64)
    # Class by class: the nearest instance of all may be one of a neighbouring class.
    for label in np.unique(labels):
        wanted = classes == label
        known = fits & wanted
        if known.any():
            distance, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
            wanted &= distance <= reach
            enlarged[wanted] = ids[tuple(nearest)][wanted]
    return enlarged
