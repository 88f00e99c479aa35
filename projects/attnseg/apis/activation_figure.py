"""The figure of an explanation: instances, and for the best ones the maps of their query."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from attnseg.apis.activations import ExplainedInstance, Explanation
from attnseg.apis.picture import distinct_colour, save_figure

_WIDTH, _DPI = 16.0, 100  # inches, pixels an inch
_COLOURS = "inferno"
_TITLE = 0.55  # inches above each panel
_RATIOS = (0.2, 1.4)  # height of a panel over its width
_LEGEND = 3.4  # inches that the text needs
_OUTLINE = "cyan"  # a hue that the maps' colours do not have


def draw_explanation(
    explanation: Explanation,
    path: Path,
    top: int = 6,
    levels: Sequence[int] | None = None,
    classes: Sequence[str] = (),
) -> Path:
    """Draw the instances, and a row for each of the best: its mask and the maps of its query.

    Args:
        explanation: see `explain_image`.
        path: PNG file, written atomically.
        top: rows.
        levels: numbers of the levels to draw, 1 is the coarsest; all if None.
        classes: names; if there are several, they stand with the instances.

    Raises:
        ValueError: for a level that is not there, or ``top`` below 1.
    """
    available = range(1, len(explanation.activations) + 1)
    levels = list(available if levels is None else dict.fromkeys(levels))
    if not levels or any(level not in available for level in levels):
        raise ValueError(f"levels {levels}: choose among {', '.join(map(str, available))}")
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    rows = explanation.instances[:top]
    columns = len(levels) + 2
    ratio = np.clip(explanation.picture.shape[0] / explanation.picture.shape[1], *_RATIOS)
    first = max(_WIDTH / 3 * ratio, _LEGEND) + _TITLE
    row = _WIDTH / columns * ratio + _TITLE
    height = first + row * len(rows)
    figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    margins = {"left": 0.01, "right": 0.99, "bottom": 0.1 / height}
    share = 1 - first / height
    head = figure.add_gridspec(
        1, 3, **{**margins, "bottom": share}, top=1 - _TITLE / height, wspace=0.03
    )
    _draw_head(figure, head, explanation, len(rows), classes)
    if rows:
        # The space between rows counts in panels.
        gap = _TITLE / (row - _TITLE)
        top_edge = share - _TITLE / height
        grid = figure.add_gridspec(
            len(rows), columns, **margins, top=top_edge, hspace=gap, wspace=0.06
        )
        for i, instance in enumerate(rows):
            _draw_row(figure, grid, i, instance, explanation, levels)
    return save_figure(figure, path, _DPI)


def _draw_head(
    figure: Figure, grid: GridSpec, shown: Explanation, rows: int, classes: Sequence[str]
) -> None:
    plain, found, text = (figure.add_subplot(grid[0, i]) for i in range(3))
    plain.imshow(shown.picture, interpolation="nearest")
    _finish(plain, shown, "input of the network, brightness stretched", size=12)
    found.imshow(shown.picture, interpolation="nearest")
    # The best ones last, so that they lie on top.
    for i, instance in reversed(list(enumerate(shown.instances))):
        _outline(found, instance.mask, distinct_colour(i), width=2 if i < rows else 0.9)
        score = f": {instance.score:.2f}" if i < rows else ""
        name = f"\n{classes[instance.label]}" if i < rows and len(classes) > 1 else ""
        _write(found, instance.mask, f"{i + 1}{score}{name}", size=9 if i < rows else 7)
    kind = "instances" if shown.kept else "strongest queries"
    _finish(found, shown, f"{len(shown.instances)} {kind}: number and score", size=12)
    text.axis("off")
    place = {"textcoords": "offset points", "va": "top", "fontsize": 10.5}
    text.annotate(_shorten(shown.name), (0.02, 1), (0, 0), fontweight="bold", **place)
    text.annotate(_legend(shown, rows), (0.02, 1), (0, -24), linespacing=1.3, **place)
    bar = text.inset_axes((0.02, 0.05, 0.94, 0.035))
    figure.colorbar(ScalarMappable(cmap=_COLOURS), cax=bar, orientation="horizontal")
    bar.set_xticks([0, 1], ["0", "largest value of this map"], fontsize=10)
    for label, side in zip(bar.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)


def _legend(shown: Explanation, rows: int) -> str:
    height, width = shown.whole_size
    part = f"Whole input of {height} x {width} pixels (height x width)."
    if shown.window is not None:
        top, left, h, w = shown.window
        part = (
            f"One window: rows {top} to {top + h - 1}, columns {left} to {left + w - 1}\n"
            f"of an input of {height} x {width} pixels; maps belong to a window."
        )
    count = len(shown.activations[-1])
    found = (
        f"{len(shown.instances)} instances of {count} queries have a score above "
        f"{shown.score_thr:g};\nthe best {rows} have a row."
        if shown.kept
        else f"No instance {'here ' if shown.window else ''}has a score above "
        f"{shown.score_thr:g}: these are the {rows}\n"
        f"of {count} queries surest of a class (score: its probability)."
    )
    padding = ""
    if tuple(shown.padded_size) != shown.picture.shape[:2]:
        padding = "\nSome of it may lie in the padding, which is not drawn."
    return (
        f"{part}\n{found}\n\n"
        "Activation (Eq. 1): the guided query of a level is the mean of\n"
        "the instance features, weighted with this map. Level 1 is the\n"
        "coarsest; the query of the last level gives the instance.\n"
        "Attention: where that query looked at the last level (mean of\n"
        "its heads). Cyan: outline of the instance.\n\n"
        "Each map sums to 1 over its cells. Its colours go from 0 to its\n"
        "own largest value, which stands above it: as it is, and as a\n"
        f"multiple of an even map's value, 1 / cells.{padding}"
    )


def _draw_row(
    figure: Figure,
    grid: GridSpec,
    row: int,
    instance: ExplainedInstance,
    shown: Explanation,
    levels: Sequence[int],
) -> None:
    axes = figure.add_subplot(grid[row, 0])
    picture = _tint(shown.picture, instance.mask, distinct_colour(row))
    axes.imshow(picture, interpolation="nearest")
    _outline(axes, instance.mask, distinct_colour(row))
    size = f"{instance.mask.sum():,} pixels"
    _finish(axes, shown, f"{row + 1}: query {instance.query}, score {instance.score:.2f}\n{size}")
    maps = [
        (f"activation, query {instance.query}, level {level}", shown.activations[level - 1])
        for level in levels
    ]
    finest = len(shown.activations)
    maps.append((f"attention, query {instance.query}, level {finest}", shown.attention))
    for column, (title, stack) in enumerate(maps, start=1):
        _draw_map(figure.add_subplot(grid[row, column]), title, stack[instance.query], shown)
        _outline(figure.axes[-1], instance.mask, _OUTLINE, width=1)


def _draw_map(axes: Axes, title: str, values: NDArray[np.floating], shown: Explanation) -> None:
    # Darkened, or the maps fade on bright-field images.
    gray = shown.picture.mean(2)
    axes.imshow(gray, cmap="gray", vmin=0, vmax=400, interpolation="nearest")
    height, width = shown.padded_size
    axes.imshow(
        values,
        cmap=_COLOURS,
        vmin=0,
        vmax=values.max() or 1,
        alpha=0.7,
        interpolation="nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    strides = {f"{height / values.shape[0]:.3g}", f"{width / values.shape[1]:.3g}"}
    largest = f"max {values.max():.2g} = {values.max() * values.size:.3g} x even"
    _finish(axes, shown, f"{title}\nstride {' x '.join(sorted(strides))}, {largest}")


def _finish(axes: Axes, shown: Explanation, title: str, size: float = 9.5) -> None:
    height, width = shown.picture.shape[:2]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axes.set_title(title, fontsize=size, pad=4)


def _tint(picture: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Any) -> NDArray[np.uint8]:
    tinted = picture.astype(np.float64)
    tinted[mask] = 0.45 * tinted[mask] + 0.55 * 255 * np.array(colour)
    return tinted.astype(np.uint8)


def _outline(axes: Axes, mask: NDArray[np.bool_], colour: Any, width: float = 1.3) -> None:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    top, left = rows[0], columns[0]
    # A border of zeros closes outlines that touch the image's.
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.float32)
    x, y = np.arange(part.shape[1]) + left - 1, np.arange(part.shape[0]) + top - 1
    axes.contour(x, y, part, levels=[0.5], colors=[colour], linewidths=width)


def _write(axes: Axes, mask: NDArray[np.bool_], text: str, size: float) -> None:
    if mask.any():
        y, x = (float(place.mean()) for place in np.nonzero(mask))
        style = {"ha": "center", "va": "center", "clip_on": True}
        edge = [withStroke(linewidth=2, foreground="black")]
        axes.text(x, y, text, color="white", fontsize=size, path_effects=edge, **style)


def _shorten(name: str, most: int = 60) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}...{name[-most // 2 :]}"
