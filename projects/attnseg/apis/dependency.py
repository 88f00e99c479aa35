"""Long-range dependency of a model's feature maps (MaskAttn-UNet, Appendix B.3).

Example:
    >>> names = modules_of_class(model, "MaskAttention")
    >>> rows = analyze_dependency(model, names, batches, max_images=8)
    >>> write_report(rows, "work_dirs/dependency")
"""

import difflib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnseg.apis.dependency_report import write_report
from attnseg.evaluation.long_range import (
    Scan,
    autocorrelation,
    dfa,
    hurst,
    map_to_series,
    spectral_slope,
)

__all__ = ["ModuleDependency", "analyze_dependency", "modules_of_class", "write_report"]

Forward = Callable[[nn.Module, Any], Any]
EXPONENTS = ("hurst", "dfa", "beta")


@dataclass
class ModuleDependency:
    """What was measured on the output of one module.

    Attributes:
        module: Name of the module in the model.
        images: Images analysed.
        length: Values in a series; the most frequent one if the images differ in size.
        exponents: Series -> estimate for each of ``hurst``, ``dfa`` and ``beta``, NaN where the
            series has none (constant, too short, not finite).
        curves: Mean curve over the series of that length, ``autocorrelation`` (lag, value), ``dfa``
            (log window, log fluctuation) and ``psd`` (log frequency, log power), each (2, points).
            Empty where no series has an estimate.
    """

    module: str
    images: int
    length: int
    exponents: dict[str, NDArray[np.float64]]
    curves: dict[str, NDArray[np.float64]]

    def row(self) -> dict[str, Any]:
        """One table row.

        Returns:
            Name and sizes; mean, standard deviation and count of each exponent; and of the mean
            autocorrelation the value at lag 1 (``acf_lag1``) and the first lag below 1/e
            (``acf_decay_lag``), NaN where no lag of the curve is.
        """
        row: dict[str, Any] = {"module": self.module, "images": self.images, "length": self.length}
        for name in EXPONENTS:
            values = self.exponents[name][np.isfinite(self.exponents[name])]
            row[f"{name}_mean"] = float(values.mean()) if len(values) else float("nan")
            row[f"{name}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            row[f"{name}_n"] = len(values)
        lags, correlation = self.curves["autocorrelation"]
        row["acf_lag1"] = float(correlation[1]) if len(correlation) > 1 else float("nan")
        decayed = np.flatnonzero(correlation < 1 / np.e)
        row["acf_decay_lag"] = int(lags[decayed[0]]) if len(decayed) else float("nan")
        return row


def analyze_dependency(
    model: nn.Module,
    module_names: Sequence[str],
    batches: Iterable[Any],
    *,
    forward: Forward | None = None,
    max_images: int | None = None,
    channels: int | None = 8,
    scan: Scan = "row",
    seed: int = 0,
) -> list[ModuleDependency]:
    """Measure Hurst, DFA and spectral exponent and autocorrelation of module outputs.

    Each module has to return a map (B, C, H, W) or tokens (B, N, C); of a tuple or list the first
    item counts. Each chosen channel of each image is one series (see
    :mod:`attnseg.evaluation.long_range` for its order), and each estimate is averaged over them.
    A module that runs several times in one pass contributes each time. The model runs in eval mode
    without gradients and is left as it was.

    Args:
        model: Any torch model.
        module_names: Dotted names as in ``model.named_modules()``.
        batches: What ``forward`` takes, one after the other.
        forward: Called with the model and a batch; ``model(batch)`` if not given.
        max_images: Stop after so many images; all if not given.
        channels: Channels of each module, drawn once from ``seed`` and the module's name; all if
            None. The time is proportional to it.
        scan: Order in which a map becomes a series; tokens are always taken in their own order.
        seed: Seed of the choice of channels.

    Returns:
        One result for each module, in the order of ``module_names``.

    Raises:
        ValueError: If a module is unknown, was not called, or returns neither maps nor tokens; if
            nothing was named, or there are no batches.
    """
    check_names(model, module_names)
    if channels is not None and channels < 1:
        raise ValueError(f"channels must be at least 1 or None, got {channels}")
    if max_images is not None and max_images < 1:
        raise ValueError(f"max_images must be at least 1 or None, got {max_images}")
    probes = {name: _Probe(name, channels, scan, seed) for name in dict.fromkeys(module_names)}
    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(probe) for name, probe in probes.items()]
    training = {module: module.training for module in model.modules()}
    model.eval()
    n_batches = 0
    try:
        with torch.no_grad():
            for batch in batches:
                n_batches += 1
                for probe in probes.values():
                    probe.start(max_images)
                model(batch) if forward is None else forward(model, batch)
                for probe in probes.values():
                    probe.finish()
                if max_images is not None and all(p.images >= max_images for p in probes.values()):
                    break
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    if not n_batches:
        raise ValueError("analyze_dependency: there are no batches to run the model on")
    return [probes[name].result() for name in module_names]


def modules_of_class(model: nn.Module, class_name: str = "MaskAttention") -> list[str]:
    """Names of all modules whose class has this name, in the order of the model."""
    return [name for name, m in model.named_modules() if type(m).__name__ == class_name]


@dataclass
class _Probe:
    """Forward hook of one module: takes series from its output and estimates at once."""

    name: str
    channels: int | None
    scan: Scan
    seed: int
    images: int = 0
    _room: int | None = None
    _seen: int = 0
    _exponents: dict[str, list[float]] = field(default_factory=lambda: {k: [] for k in EXPONENTS})
    _curves: dict[str, list[NDArray]] = field(
        default_factory=lambda: {"autocorrelation": [], "dfa": [], "psd": []}
    )
    _lengths: Counter = field(default_factory=Counter)

    def start(self, max_images: int | None) -> None:
        """Begin a batch."""
        self._room = None if max_images is None else max_images - self.images
        self._seen = 0

    def finish(self) -> None:
        """Count the images of a batch once, however often the module ran in it."""
        self.images += self._seen

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        maps = self._maps(output)[: self._room]
        self._seen = len(maps)
        for image in maps:
            for series in image:
                self._add(series)

    def _maps(self, output: Any) -> list[NDArray]:
        """The series (channels, N) of each image."""
        tensor = output[0] if isinstance(output, tuple | list) and output else output
        if not isinstance(tensor, Tensor) or tensor.ndim not in (3, 4):
            what = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(
                f"module '{self.name}' returns {what}; the analysis needs a map (B, C, H, W) or "
                "tokens (B, N, C): name a module that returns one"
            )
        if tensor.ndim == 3:
            tensor = tensor.transpose(1, 2).unsqueeze(2)
        count = tensor.shape[1]
        if self.channels is not None and self.channels < count:
            # A stable hash: the choice depends neither on the other modules nor on the process.
            rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])
            chosen = np.sort(rng.choice(count, self.channels, replace=False))
            tensor = tensor[:, torch.from_numpy(chosen).to(tensor.device)]
        scan = self.scan if tensor.shape[2] > 1 else "row"
        return [map_to_series(image, scan) for image in tensor.detach().double().cpu().numpy()]

    def _add(self, series: NDArray) -> None:
        fluctuation, spectrum = dfa(series), spectral_slope(series)
        correlation = autocorrelation(series)
        estimates = (hurst(series), fluctuation.exponent, spectrum.exponent)
        for name, value in zip(EXPONENTS, estimates, strict=True):
            self._exponents[name].append(value)
        self._lengths[len(series)] += 1
        lags = np.arange(len(correlation), dtype=np.float64)
        for name, x, y in (
            ("autocorrelation", lags, correlation),
            ("dfa", fluctuation.x, fluctuation.y),
            ("psd", spectrum.x, spectrum.y),
        ):
            self._curves[name].append(np.stack([x, y]))

    def result(self) -> ModuleDependency:
        """Average everything; raises ValueError if the module never ran."""
        if not self._lengths:
            raise ValueError(
                f"module '{self.name}' was not called: the forward pass does not use it"
            )
        return ModuleDependency(
            self.name,
            self.images,
            self._lengths.most_common(1)[0][0],
            {name: np.array(values) for name, values in self._exponents.items()},
            {name: _mean_curve(curves) for name, curves in self._curves.items()},
        )


def _mean_curve(curves: list[NDArray]) -> NDArray[np.float64]:
    """Mean of the curves that have the most frequent abscissa; curves without a value are left."""
    usable = [curve for curve in curves if curve.size and np.isfinite(curve).all()]
    if not usable:
        return np.empty((2, 0))
    common = Counter(curve[0].tobytes() for curve in usable).most_common(1)[0][0]
    return np.mean([curve for curve in usable if curve[0].tobytes() == common], axis=0)


def check_names(model: nn.Module, names: Sequence[str]) -> None:
    """Make sure that a model has these modules.

    Raises:
        ValueError: If none is named or one is unknown; proposes the nearest, lists the attention.
    """
    known = [name for name, _ in model.named_modules() if name]
    similar = [
        name
        for name, module in model.named_modules()
        if name and ("attention" in type(module).__name__.lower() or "attn" in name.lower())
    ]
    hint = f"attention-like modules: {', '.join(similar) or 'none'}"
    if isinstance(names, str) or not names:
        raise ValueError(f"name one module or more in a list, got {names!r}; {hint}")
    unknown = [name for name in names if name not in known]
    if unknown:
        near = {n: difflib.get_close_matches(n, known, n=3, cutoff=0.4) for n in unknown}
        proposals = "; ".join(
            f"'{name}' (close: {', '.join(matches) or 'nothing'})" for name, matches in near.items()
        )
        raise ValueError(f"{type(model).__name__} has no module {proposals}; {hint}")
