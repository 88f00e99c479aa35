"""Pictures of what a model sees: class, instance, panoptic and embedding maps side by side."""

import colorsys
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmdet.structures import INSTANCE_OFFSET
from numpy.typing import NDArray

from attnseg.engine.atomic import write_bytes
from attnseg.engine.display import to_rgb

Image = NDArray[np.uint8]
_GOLDEN = 0.618033988749895


def distinct_colour(index: int, value: float = 0.95, saturation: float = 0.75) -> tuple[float, ...]:
    """RGB within 0..1, far from those of the neighbouring numbers."""
    return colorsys.hsv_to_rgb((0.11 + index * _GOLDEN) % 1.0, saturation, value)


def colour_classes(classes: NDArray[np.integer], num_classes: int) -> Image:
    """Colours (H, W, 3) of a class map (H, W); anything outside 0..num_classes - 1 is black."""
    table = np.zeros((num_classes + 1, 3))
    table[:num_classes] = [distinct_colour(i, 0.8, 0.55) for i in range(num_classes)]
    index = np.where((classes >= 0) & (classes < num_classes), classes, num_classes)
    return (table[index] * 255).astype(np.uint8)


def colour_panoptic(panoptic: NDArray[np.integer], num_classes: int) -> Image:
    """Colours of a panoptic map (H, W) as mmdet's detectors give it; each instance has its own.

    Instances are outlined in white, so that touching ones can be told apart; void is black.
    """
    picture = colour_classes(panoptic, num_classes)
    instances = np.unique(panoptic[panoptic >= INSTANCE_OFFSET])
    for i, value in enumerate(instances):
        picture[panoptic == value] = np.array(distinct_colour(i + 3)) * 255
    edge = np.zeros(panoptic.shape, dtype=bool)
    edge[1:] |= panoptic[1:] != panoptic[:-1]
    edge[:, 1:] |= panoptic[:, 1:] != panoptic[:, :-1]
    picture[edge & (panoptic >= INSTANCE_OFFSET)] = 255
    return picture


def pca_rgb(embedding: NDArray[np.floating], mask: NDArray[np.bool_] | None = None) -> Image:
    """First three principal components of an embedding (D, H, W) as colours (H, W, 3).

    Args:
        embedding: any vectors; at least three components.
        mask: pixels that define the components and the range (H, W), all if None or empty;
            the others are shown darker.
    """
    dim, height, width = embedding.shape
    flat = embedding.reshape(dim, -1).T.astype(np.float64)
    chosen = flat if mask is None or not mask.any() else flat[mask.ravel()]
    centred = chosen - chosen.mean(0)
    _, _, axes = np.linalg.svd(centred.T @ centred)
    projected = (flat - chosen.mean(0)) @ axes[:3].T
    reference = centred @ axes[:3].T
    low, high = np.percentile(reference, [1, 99], axis=0)
    scaled = np.clip((projected - low) / np.maximum(high - low, 1e-9), 0, 1)
    picture = scaled.reshape(height, width, 3)
    if mask is not None and mask.any():
        picture = np.where(mask[..., None], picture, 0.25 * picture)
    return (picture * 255).astype(np.uint8)


def draw_panels(rows: Sequence[Sequence[NDArray[Any]]], titles: Sequence[str], path: Path) -> Path:
    """Write rows of pictures with a title over each column to a PNG file, atomically.

    Pictures of any depth and number of channels are shown as `to_rgb` says.

    Raises:
        ValueError: if there is no row, a row has not one picture for each title, or a picture
            is none.
    """
    if not rows or any(len(row) != len(titles) for row in rows):
        raise ValueError(f"each row needs {len(titles)} pictures, one for each title")
    # A figure of its own, so that the caller's pyplot and its backend stay as they are.
    figure = Figure(figsize=(2.6 * len(titles), 2.6 * len(rows) + 0.3))
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            axes[i][j].imshow(to_rgb(picture), interpolation="nearest")
            axes[i][j].axis("off")
            if i == 0:
                axes[i][j].set_title(titles[j], fontsize=11)
    figure.tight_layout(pad=0.4)
    return save_figure(figure, path, dpi=110)


def save_figure(figure: Figure, path: Path, dpi: int) -> Path:
    """Write a figure to a PNG file, atomically."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    write_bytes(path, buffer.getvalue())
    return path
