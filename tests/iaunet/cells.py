"""Maps of cells, and what a perfect network sees of them in windows."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from attnseg.iaunet.stitching import WindowPrediction
from attnseg.iaunet.windows import window_grid

Size = tuple[int, int]
SQUARE = np.ones((3, 3), dtype=int)


def number_parts(classes: NDArray, structure: NDArray | None) -> NDArray:
    """Each connected part of a class becomes a cell; class 0 is background, -> ids with 0."""
    cells = np.zeros(classes.shape, dtype=int)
    for value in np.unique(classes[classes > 0]):
        parts, count = ndimage.label(classes == value, structure)
        cells[parts > 0] = parts[parts > 0] + cells.max()
        assert cells.max() >= count
    return cells


def maze(size: Size, seed: int, structure: NDArray | None, scale: float = 2.5) -> NDArray:
    """Touching cells of any shape, from single pixels to snakes through the whole image."""
    noise = np.random.default_rng(seed).standard_normal(size)
    smooth = ndimage.gaussian_filter(noise, scale)
    return number_parts(np.digitize(smooth, np.quantile(smooth, [0.4, 0.6, 0.85])), structure)


def tissue(size: Size, seed: int, count: int) -> NDArray:
    """Voronoi cells, a third of them background."""
    rng = np.random.default_rng(seed)
    seeds = rng.random((count, 2)) * size
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = (rows - seeds[:, 0, None, None]) ** 2 + (columns - seeds[:, 1, None, None]) ** 2
    owner = distance.argmin(0) + 1
    return number_parts(np.where(owner % 3 == 0, 0, owner), None)


def discs(size: Size, seed: int, radii: tuple[int, int], gap: int = 0) -> NDArray:
    """Discs of random radii; many touch a neighbour if there is no gap."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    cells = np.zeros(size, dtype=int)
    for _ in range(400):
        centre, radius = rng.random(2) * size, rng.integers(*radii, endpoint=True)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        if not cells[distance <= radius + gap].any():
            cells[distance <= radius] = cells.max() + 1
    return cells


def cut(
    cells: NDArray,
    window: Size,
    overlap: int,
    structure: NDArray | None = None,
    classes: int = 1,
    jitter: int = 0,
    seed: int = 0,
) -> list[WindowPrediction]:
    """What a network finds in each window: every visible part of a cell, shifted by the jitter."""
    rng = np.random.default_rng(seed)
    parts = []
    for top, left, height, width in window_grid(cells.shape, window, overlap):
        view = cells[top : top + height, left : left + width]
        masks, labels = [], []
        for value in np.unique(view[view > 0]):
            pieces, count = ndimage.label(view == value, structure)
            for number in range(1, count + 1):
                shift = rng.integers(-jitter, jitter, size=2, endpoint=True)
                masks.append(ndimage.shift(pieces == number, shift, order=0))
                labels.append(value % classes)
        order = rng.permutation(len(masks))
        masks = np.array(masks, dtype=bool).reshape(-1, height, width)[order]
        labels = np.array(labels, dtype=int)[order]
        parts.append(WindowPrediction(top, left, masks, labels, np.full(len(masks), 0.5)))
    return parts
