"""Long-range dependency of 1-D series: Hurst, DFA, spectral slope, autocorrelation.

Estimators of Appendix B.3 of MaskAttn-UNet. The paper does not say how a feature map becomes a
series; here each channel is read along its rows from the top left (``scan='row'``, the order of
attention tokens) or along its columns. Row ends are joined, so that a lag of the image's width is
one row down.

For fractional Gaussian noise of Hurst exponent H the expected values are: Hurst H, DFA H, spectral
slope 2H - 1. Uncorrelated noise has 0.5, 0.5 and 0.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Array = NDArray[np.float64]
Scan = Literal["row", "column"]

# Below these lengths an exponent would rest on a handful of windows.
MIN_LENGTH_HURST = 64
MIN_LENGTH_DFA = 64
MIN_LENGTH_SPECTRUM = 32

_DFA_WINDOWS = 12
# Detrending takes most of the fluctuation out of shorter windows, which bends the log-log line.
_DFA_SHORTEST = 8
# Above half the Nyquist frequency the spectrum of sampled noise leaves its power law.
_HIGHEST_FREQUENCY = 0.25


def _load_nolds_measures() -> ModuleType:
    # `import nolds` also loads its example data, which fails for 0.6.3 on Python below 3.12 and for
    # earlier releases beside a setuptools without pkg_resources. The estimators need neither.
    package = importlib.util.find_spec("nolds")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("attnseg.evaluation.long_range needs nolds: pip install nolds")
    file = Path(package.origin).with_name("measures.py")
    spec = importlib.util.spec_from_file_location("attnseg_nolds_measures", file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"nolds is installed without {file}: reinstall it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_nolds = _load_nolds_measures()


class PowerLaw(NamedTuple):
    """A straight line in log-log coordinates.

    Attributes:
        exponent: The estimate; NaN for a series that is constant, too short or not finite.
        intercept: Ordinate of the line at x = 0; NaN like the exponent.
        x: Natural logarithm of window length (DFA) or frequency in cycles per sample (spectrum).
        y: Natural logarithm of fluctuation or power; empty like ``x`` where there is no estimate.
    """

    exponent: float
    intercept: float
    x: Array
    y: Array


_NOTHING = PowerLaw(np.nan, np.nan, np.empty(0), np.empty(0))


def map_to_series(feature_map: NDArray, scan: Scan = "row") -> Array:
    """Read each channel of a map as a series.

    Args:
        feature_map: Map (C, H, W).
        scan: ``'row'`` joins the rows of a channel, ``'column'`` its columns.

    Returns:
        Series (C, H * W).

    Raises:
        ValueError: If the map is not 3-D or ``scan`` is unknown.
    """
    if feature_map.ndim != 3:
        raise ValueError(f"expected a map (C, H, W), got shape {feature_map.shape}")
    if scan not in ("row", "column"):
        raise ValueError(f"scan must be 'row' or 'column', got {scan!r}")
    ordered = feature_map if scan == "row" else feature_map.transpose(0, 2, 1)
    return ordered.reshape(len(feature_map), -1).astype(np.float64)


def hurst(series: Array) -> float:
    """Hurst exponent by rescaled range with the Anis-Lloyd-Peters correction (nolds.hurst_rs).

    Rescaled range is biased towards 0.5: fractional Gaussian noise of H = 0.9 gives 0.80 at 16384
    values and 0.66 at 64, H = 0.3 gives 0.34 and 0.41. Compare series of one length, or use DFA.

    Args:
        series: Values (N,).

    Returns:
        Exponent, about 0 to 1: above 0.5 persistent, below anti-persistent. NaN for a series that
        is constant, not finite or shorter than ``MIN_LENGTH_HURST``.
    """
    usable = _usable(series, MIN_LENGTH_HURST)
    return np.nan if usable is None else float(_nolds.hurst_rs(usable, fit="poly"))


def dfa(series: Array) -> PowerLaw:
    """Detrended fluctuation analysis, linear trend, windows overlapping by half (nolds.dfa).

    Twelve window lengths, log-spaced from 8 to a quarter of the series.

    Args:
        series: Values (N,).

    Returns:
        Exponent alpha: 0.5 without correlation, above persistent, above 1 not stationary. NaN for
        a series that is constant, not finite or shorter than ``MIN_LENGTH_DFA``.
    """
    usable = _usable(series, MIN_LENGTH_DFA)
    if usable is None:
        return _NOTHING
    windows = np.geomspace(_DFA_SHORTEST, len(usable) // 4, _DFA_WINDOWS).round().astype(int)
    exponent, (x, y, line) = _nolds.dfa(
        usable, nvals=np.unique(windows), fit_exp="poly", debug_data=True
    )
    return PowerLaw(float(exponent), float(line[1]), x, y)


def spectral_slope(series: Array) -> PowerLaw:
    """Slope beta of the power spectral density, S(f) ~ 1 / f^beta (Eq. 8 of the paper).

    Welch's estimate with Hann windows of an eighth of the series (at least 32 samples), each with
    its mean removed; a line is fitted to the means of log-spaced frequency bands up to half the
    Nyquist frequency. The lowest two frequencies, into which the window leaks, are left out.

    Args:
        series: Values (N,).

    Returns:
        Exponent beta; x and y are the bands. NaN for a series that is constant, not finite or
        shorter than ``MIN_LENGTH_SPECTRUM``.
    """
    usable = _usable(series, MIN_LENGTH_SPECTRUM)
    if usable is None:
        return _NOTHING
    segment = min(len(usable), max(MIN_LENGTH_SPECTRUM, len(usable) // 8))
    frequency, power = signal.welch(usable, nperseg=segment)
    kept = (np.arange(len(frequency)) > 1) & (frequency <= _HIGHEST_FREQUENCY) & (power > 0)
    if np.count_nonzero(kept) < 2:
        return _NOTHING
    x, y = _log_bands(frequency[kept], power[kept])
    slope, intercept = np.polyfit(x, y, 1)
    return PowerLaw(float(-slope), float(intercept), x, y)


def autocorrelation(series: Array, max_lag: int | None = None) -> Array:
    """Autocorrelation by FFT, normalised to 1 at lag 0 (biased estimate: divided by N).

    Args:
        series: Values (N,), N at least 2.
        max_lag: Largest lag, below N; a quarter of the series if not given.

    Returns:
        Values (max_lag + 1,) in [-1, 1]; all NaN for a series that is constant or not finite.

    Raises:
        ValueError: If ``max_lag`` is not in 0 to N - 1.
    """
    n = len(series)
    lags = n // 4 if max_lag is None else max_lag
    if not 0 <= lags < n:
        raise ValueError(f"max_lag must be in 0 to {n - 1}, got {lags}")
    usable = _usable(series, 2)
    if usable is None:
        return np.full(lags + 1, np.nan)
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    spectrum = np.fft.rfft(usable - usable.mean(), size)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, size)[: lags + 1]
    return covariance / covariance[0]


def _usable(series: Array, min_length: int) -> Array | None:
    """The series scaled to unit size, or None where no estimate exists."""
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"expected a series (N,), got shape {values.shape}")
    if len(values) < min_length or not np.isfinite(values).all():
        return None
    values = values - values.mean()
    spread = np.abs(values).max()
    # What rounding leaves of a constant is not a signal.
    if spread <= 1e-12 * max(np.abs(series).max(), np.finfo(np.float64).tiny):
        return None
    return values / spread


def _log_bands(frequency: Array, power: Array, bands: int = 12) -> tuple[Array, Array]:
    """Mean log frequency and log mean power in log-spaced bands that hold at least one value."""
    edges = np.geomspace(frequency[0], frequency[-1], bands + 1)
    band = np.clip(np.searchsorted(edges, frequency, side="right") - 1, 0, bands - 1)
    used = np.unique(band)
    x = np.array([np.log(frequency[band == k]).mean() for k in used])
    y = np.array([np.log(power[band == k].mean()) for k in used])
    return x, y
