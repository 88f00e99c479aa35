"""Exponents of long-range dependency as metrics of a run (MaskAttn-UNet, Table 9)."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from attnseg.apis.dependency import EXPONENTS, analyze_dependency, check_names
from attnseg.engine.cost import unwrapped
from attnseg.errors import InputError
from attnseg.registry import HOOKS


@HOOKS.register_module()
class DependencyHook(Hook):
    """Add ``dependency/hurst_<name>``, ``dfa_<name>`` and ``beta_<name>`` to each evaluation.

    Each is the mean over the series of :func:`attnseg.apis.dependency.analyze_dependency`, of the
    first images of the evaluation's data set; NaN where no series has one. In a distributed run
    the first images of the main process count.

    Args:
        modules: Name in the metric -> dotted name of a module of the model.
        max_images: Images analysed; the time is proportional to it.
        channels: Channels of each module, drawn once.
        scan: 'row' or 'column': the order in which a map becomes a series.
        seed: Of the choice of channels.

    Raises:
        InputError: Before the run, if the model has no such module; names the nearest.
    """

    # Before the hooks that keep and write the metrics.
    priority = "VERY_HIGH"

    def __init__(
        self,
        modules: Mapping[str, str],
        max_images: int = 50,
        channels: int = 8,
        scan: str = "row",
        seed: int = 0,
    ) -> None:
        self.modules = dict(modules)
        self.settings = {
            "max_images": max_images,
            "channels": channels,
            "scan": scan,
            "seed": seed,
        }

    def before_run(self, runner: Runner) -> None:
        """Check the names, which would else fail behind the training."""
        try:
            check_names(unwrapped(runner.model), list(self.modules.values()))
        except ValueError as error:
            raise InputError(f"DependencyHook: {error}") from error

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Analyse images of the validation set."""
        self._add(runner, runner.val_dataloader, metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Analyse images of the test set."""
        self._add(runner, runner.test_dataloader, metrics)

    def _add(self, runner: Runner, loader: DataLoader, metrics: dict[str, float] | None) -> None:
        if metrics is None:
            return
        results = analyze_dependency(
            unwrapped(runner.model),
            list(self.modules.values()),
            loader,
            forward=_raw_forward,
            **self.settings,
        )
        for name, result in zip(self.modules, results, strict=True):
            row = result.row()
            for exponent in EXPONENTS:
                metrics[f"dependency/{exponent}_{name}"] = row[f"{exponent}_mean"]


def _raw_forward(model: nn.Module, batch: Any) -> None:
    model(**model.data_preprocessor(batch, False), mode="tensor")
