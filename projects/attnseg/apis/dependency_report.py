"""Table and figures of the long-range dependency analysis (MaskAttn-UNet, Fig. 6, 7, Table 9)."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnseg.engine.atomic import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from attnseg.apis.dependency import ModuleDependency

_TITLES = {"hurst": "Hurst exponent", "dfa": "DFA exponent", "beta": "Spectral slope"}


def write_report(results: Sequence["ModuleDependency"], folder: str | Path) -> list[Path]:
    """Write table and figures; each file is replaced atomically.

    ``dependency.csv`` and ``dependency.md`` hold one row for each module: mean, sample standard
    deviation and number of series of each exponent, autocorrelation at lag 1 and the first lag at
    which it is below 1/e. ``<module>.png`` shows autocorrelation, DFA and power spectrum of a
    module, ``<module>_curves.csv`` holds their points (lag and window in pixels, frequency in
    1/pixel), and ``summary.png`` shows the exponents of all modules side by side.

    Args:
        results: What ``analyze_dependency`` returned, at least one.
        folder: Made if missing.

    Returns:
        Paths of the files.

    Raises:
        ValueError: If there are no results.
    """
    if not results:
        raise ValueError("write_report: there are no results to write")
    folder = Path(folder)
    rows = [result.row() for result in results]
    files = [folder / "dependency.csv", folder / "dependency.md"]
    write_text(files[0], _csv(rows, list(rows[0])))
    write_text(files[1], markdown_table(rows))
    for result in results:
        name = result.module.replace("/", "_")
        files += [folder / f"{name}.png", folder / f"{name}_curves.csv"]
        write_bytes(files[-2], _png(_module_figure(result)))
        write_text(files[-1], _csv(_points(result), ("curve", "x", "y")))
    files.append(folder / "summary.png")
    write_bytes(files[-1], _png(_summary_figure(rows)))
    return files


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table, exponents as mean ± standard deviation (series)."""
    titles = ["Module", "Images", "Length", *_TITLES.values(), "ACF at lag 1", "ACF below 1/e"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for row in rows:
        cells = [
            f"{row[f'{key}_mean']:.3f} ± {row[f'{key}_sd']:.3f} ({row[f'{key}_n']})"
            for key in _TITLES
        ]
        cells = [row["module"], str(row["images"]), str(row["length"]), *cells]
        cells += [f"{row['acf_lag1']:.3f}", str(row["acf_decay_lag"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _points(result: "ModuleDependency") -> list[dict[str, Any]]:
    """Points of the curves in the units of the figure."""
    points = []
    for name, (x, y) in result.curves.items():
        if name != "autocorrelation":
            x, y = np.exp(x), np.exp(y)
        points += [
            {"curve": name, "x": a, "y": b} for a, b in zip(x.tolist(), y.tolist(), strict=True)
        ]
    return points


def _csv(rows: Sequence[dict[str, Any]], fields: Sequence[str]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _new_figure(width: float, height: float) -> "Figure":
    # The object interface draws with Agg and leaves the caller's backend alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _module_figure(result: "ModuleDependency") -> "Figure":
    from matplotlib.ticker import NullFormatter

    figure = _new_figure(12, 3.4)
    axes = figure.subplots(1, 3)
    row = result.row()
    figure.suptitle(f"{result.module}: {result.images} images, series of {result.length}")

    lags, values = result.curves["autocorrelation"]
    axes[0].plot(lags[1:], values[1:])
    axes[0].axhline(0, color="gray", linewidth=0.8)
    if len(lags) > 2:
        axes[0].set_xscale("log")
    axes[0].set(title="Autocorrelation", xlabel="lag (pixels along the scan)", ylabel="correlation")

    for axis, curve, title, labels in (
        (axes[1], "dfa", f"DFA, α = {row['dfa_mean']:.3f}", ("window (pixels)", "fluctuation")),
        (axes[2], "psd", f"PSD, β = {row['beta_mean']:.3f}", ("frequency (1/pixel)", "power")),
    ):
        x, y = result.curves[curve]
        axis.set(title=title, xlabel=labels[0], ylabel=labels[1])
        if len(x) > 1:
            axis.loglog(np.exp(x), np.exp(y), "o", markersize=4)
            line = np.polyval(np.polyfit(x, y, 1), x)
            # Row ends put a comb into the series of a map: the figure says how well a line fits.
            fit = 1 - np.var(y - line) / max(float(np.var(y)), 1e-12)
            axis.loglog(np.exp(x), np.exp(line), "--", label=f"R² = {fit:.2f}")
            axis.legend(frameon=False)
            # Short ranges would get a label at each minor tick, one above the other.
            axis.xaxis.set_minor_formatter(NullFormatter())
    return figure


def _summary_figure(rows: Sequence[dict[str, Any]]) -> "Figure":
    figure = _new_figure(max(9.0, 2.4 * len(rows)), 4)
    figure.suptitle("Mean and standard deviation over series")
    places = np.arange(len(rows))
    *bars, overview = figure.subplots(1, 3)
    for axis, key in zip(bars, ("hurst", "dfa"), strict=True):
        means = [row[f"{key}_mean"] for row in rows]
        spread = np.nan_to_num([row[f"{key}_sd"] for row in rows])
        axis.bar(places, means, yerr=spread, capsize=3, width=0.6)
        axis.axhline(0.5, color="gray", linestyle="--", linewidth=0.8)
        axis.set(title=_TITLES[key])
    for key, title in _TITLES.items():
        overview.plot(places, [row[f"{key}_mean"] for row in rows], "o-", label=title)
    overview.set(title="All exponents")
    overview.legend(fontsize=8)
    for axis in (*bars, overview):
        axis.set_xticks(
            places, [row["module"] for row in rows], rotation=30, ha="right", fontsize=8
        )
    return figure
