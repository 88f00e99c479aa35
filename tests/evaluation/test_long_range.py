"""Estimators on fractional Gaussian noise of known H and on series with a known answer."""

import numpy as np
import pytest
from scipy import signal

from attnseg.evaluation import long_range

LENGTH = 4096
REALISATIONS = 6


def fractional_gaussian_noise(n: int, h: float, rng: np.random.Generator) -> np.ndarray:
    """Exact sample by circulant embedding (Davies and Harte, 1987)."""
    lag = np.arange(n + 1.0)
    covariance = 0.5 * (
        np.abs(lag + 1) ** (2 * h) - 2 * lag ** (2 * h) + np.abs(lag - 1) ** (2 * h)
    )
    eigenvalues = np.fft.fft(np.concatenate([covariance, covariance[-2:0:-1]])).real
    assert eigenvalues.min() > -1e-9
    size = len(eigenvalues)
    white = rng.standard_normal(size) + 1j * rng.standard_normal(size)
    return np.fft.fft(np.sqrt(np.maximum(eigenvalues, 0) / size) * white).real[:n]


@pytest.fixture(scope="module", params=[0.3, 0.5, 0.7, 0.9])
def noise(request: pytest.FixtureRequest) -> tuple[float, list[np.ndarray]]:
    rng = np.random.default_rng(int(10 * request.param))
    series = [fractional_gaussian_noise(LENGTH, request.param, rng) for _ in range(REALISATIONS)]
    return request.param, series


@pytest.mark.parametrize("h", [0.3, 0.5, 0.7, 0.9])
def test_the_noise_has_the_wanted_covariance(h: float) -> None:
    rng = np.random.default_rng(0)
    samples = np.stack([fractional_gaussian_noise(8, h, rng) for _ in range(10000)])
    lag = np.arange(1.0, 8)
    theory = 0.5 * ((lag + 1) ** (2 * h) - 2 * lag ** (2 * h) + (lag - 1) ** (2 * h))
    measured = (samples[:, :1] * samples).mean(0)
    np.testing.assert_allclose(measured, [1, *theory], atol=0.05)


def test_dfa_finds_h(noise) -> None:
    h, series = noise
    assert np.mean([long_range.dfa(x).exponent for x in series]) == pytest.approx(h, abs=0.05)


def test_spectral_slope_is_2h_minus_1(noise) -> None:
    h, series = noise
    slopes = [long_range.spectral_slope(x).exponent for x in series]
    assert np.mean(slopes) == pytest.approx(2 * h - 1, abs=0.1)


def test_rescaled_range_finds_h_with_its_known_bias(noise) -> None:
    # R/S is drawn towards 0.5; nearer than 0.13 at this length is what it can do at H = 0.9.
    h, series = noise
    assert np.mean([long_range.hurst(x) for x in series]) == pytest.approx(h, abs=0.13)


def test_all_estimators_rise_with_h() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for h in (0.3, 0.5, 0.7, 0.9):
        x = fractional_gaussian_noise(LENGTH, h, rng)
        rows.append(
            [long_range.hurst(x), long_range.dfa(x).exponent, long_range.spectral_slope(x).exponent]
        )
    assert (np.diff(rows, axis=0) > 0).all()


@pytest.mark.parametrize("h", [0.3, 0.5, 0.7, 0.9])
def test_autocorrelation_of_the_noise_is_the_theoretical_one(h: float) -> None:
    rng = np.random.default_rng(0)
    series = [fractional_gaussian_noise(LENGTH, h, rng) for _ in range(100)]
    lag = np.arange(1.0, 11)
    theory = 0.5 * ((lag + 1) ** (2 * h) - 2 * lag ** (2 * h) + (lag - 1) ** (2 * h))
    # Taking out the sample mean takes out its variance, 19 % of the power at H = 0.9.
    lost = LENGTH ** (2 * h - 2)
    measured = np.mean([long_range.autocorrelation(x, 10) for x in series], axis=0)
    np.testing.assert_allclose(measured[1:], (theory - lost) / (1 - lost), atol=0.03)


def test_autocorrelation_equals_the_direct_sum() -> None:
    x = np.random.default_rng(1).random(101)
    centred = x - x.mean()
    direct = np.correlate(centred, centred, mode="full")[100:]
    np.testing.assert_allclose(long_range.autocorrelation(x, 100), direct / direct[0], atol=1e-12)
    assert len(long_range.autocorrelation(x)) == 26


def test_a_line_goes_with_its_points() -> None:
    x = fractional_gaussian_noise(1024, 0.7, np.random.default_rng(0))
    for law, sign in ((long_range.dfa(x), 1), (long_range.spectral_slope(x), -1)):
        fitted = np.polyfit(law.x, law.y, 1)
        np.testing.assert_allclose(fitted, [sign * law.exponent, law.intercept], rtol=1e-8)


def test_random_walk_has_dfa_three_halves_and_slope_two() -> None:
    walk = np.cumsum(np.random.default_rng(0).standard_normal(LENGTH))
    assert long_range.dfa(walk).exponent == pytest.approx(1.5, abs=0.1)
    assert long_range.spectral_slope(walk).exponent == pytest.approx(2, abs=0.25)


def test_offset_and_scale_change_nothing() -> None:
    x = fractional_gaussian_noise(512, 0.7, np.random.default_rng(0))
    for estimate in (
        long_range.hurst,
        lambda s: long_range.dfa(s).exponent,
        lambda s: long_range.spectral_slope(s).exponent,
    ):
        assert estimate(1e-20 * x) == pytest.approx(estimate(x), rel=1e-6)
        assert estimate(100 + 1e3 * x) == pytest.approx(estimate(x), rel=1e-6)


@pytest.mark.parametrize(
    "series",
    [
        np.full(256, 0.1),
        np.zeros(256),
        np.append(np.arange(255.0), np.nan),
        np.append(np.arange(255.0), np.inf),
        np.random.default_rng(0).random(31),
    ],
    ids=["constant", "zero", "nan", "infinite", "short"],
)
def test_no_estimate_is_nan(series: np.ndarray) -> None:
    assert np.isnan(long_range.hurst(series))
    for law in (long_range.dfa(series), long_range.spectral_slope(series)):
        assert np.isnan(law.exponent)
        assert len(law.x) == len(law.y) == 0
    if len(series) > 31:
        assert np.isnan(long_range.autocorrelation(series)).all()


def test_shortest_series_have_an_estimate() -> None:
    x = np.random.default_rng(0).random(64)
    assert np.isfinite(long_range.hurst(x[: long_range.MIN_LENGTH_HURST]))
    assert np.isfinite(long_range.dfa(x[: long_range.MIN_LENGTH_DFA]).exponent)
    assert np.isfinite(long_range.spectral_slope(x[: long_range.MIN_LENGTH_SPECTRUM]).exponent)


def test_a_pure_tone_has_no_power_elsewhere_and_no_error() -> None:
    tone = np.sin(2 * np.pi * 0.4 * np.arange(512))
    frequency, power = signal.welch(tone, nperseg=64)
    assert frequency[power.argmax()] == pytest.approx(0.4, abs=0.01)
    assert np.isfinite(long_range.spectral_slope(tone).exponent)


def test_scans_follow_rows_or_columns() -> None:
    feature_map = np.arange(12).reshape(1, 3, 4)
    assert long_range.map_to_series(feature_map)[0].tolist() == list(range(12))
    assert long_range.map_to_series(feature_map, "column")[0, :4].tolist() == [0, 4, 8, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: long_range.map_to_series(np.zeros((3, 4))), r"\(C, H, W\)"),
        (lambda: long_range.map_to_series(np.zeros((1, 3, 4)), "spiral"), "'row' or 'column'"),
        (lambda: long_range.autocorrelation(np.zeros(5), 5), "0 to 4"),
        (lambda: long_range.hurst(np.zeros((5, 5))), r"\(N,\)"),
    ],
)
def test_bad_arguments(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
