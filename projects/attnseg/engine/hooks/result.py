"""The latest evaluation: ``result.json`` and ``per_image.npz`` in the run folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner

from attnseg import __version__
from attnseg.compat import set_run_folder
from attnseg.engine.atomic import write_json
from attnseg.engine.evaluators import tables_of
from attnseg.engine.run_record import metrics_of, training_progress
from attnseg.per_image import write_tables
from attnseg.registry import HOOKS

_PER_IMAGE = "per_image.npz"


@HOOKS.register_module()
class ResultHook(Hook):
    """Write ``<work_dir>/result.json`` after each validation and test, atomically.

    The file holds every metric unrounded, with what is needed to read it: the
    evaluators and their settings, the config, the seed, the package version and
    the training progress; a test also names its checkpoint. The last evaluation
    wins; ``mode`` says which it was. RecordHook keeps what each run ended with.

    Metrics that keep statistics of each image have them written to ``per_image.npz`` beside it.

    A file that cannot be written does not end a training: the log names it.

    Args:
        file_name: Name of the file in the run folder.

    Raises:
        OSError: Outside of a training, if a file cannot be written; an old one is then unchanged.
        TypeError: Outside of a training, if settings have no JSON form.
    """

    priority = "LOW"

    def __init__(self, file_name: str = "result.json") -> None:
        self.file_name = file_name
        self._training = False

    def before_run(self, runner: Runner) -> None:
        """Let the processes of this run collect their results in its folder."""
        self._training = False
        set_run_folder(runner.work_dir)

    def before_train(self, runner: Runner) -> None:
        """From here on, the weights matter more than these files."""
        self._training = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Record a validation."""
        self._write(runner, "val", metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Record a test."""
        self._write(runner, "test", metrics)

    @master_only
    def _write(self, runner: Runner, mode: str, metrics: dict[str, float] | None) -> None:
        folder = Path(runner.work_dir)
        loop = runner.val_loop if mode == "val" else runner.test_loop
        tables = tables_of(metrics_of(loop))
        statistics = None
        with self._needed(runner, folder / _PER_IMAGE):
            if tables:
                write_tables(folder / _PER_IMAGE, tables)
                statistics = _PER_IMAGE
            else:
                # That of an earlier evaluation does not belong to this result.
                (folder / _PER_IMAGE).unlink(missing_ok=True)
        epoch, iteration = training_progress(runner)
        record = {
            "mode": mode,
            "metrics": dict(metrics or {}),
            "evaluator": _evaluator(runner, mode),
            "config": runner.cfg.filename,
            # During a training this would be the weights that it started from.
            "checkpoint": runner.cfg.get("load_from") if mode == "test" else None,
            "tta": isinstance(runner.model, BaseTTAModel),
            "seed": runner.seed,
            "epoch": epoch,
            "iter": iteration,
            "attnseg_version": __version__,
            "per_image": statistics,
        }
        with self._needed(runner, folder / self.file_name):
            write_json(folder / self.file_name, record)

    @contextmanager
    def _needed(self, runner: Runner, file: Path) -> Iterator[None]:
        """Let an error pass after a test; during a training, log it."""
        try:
            yield
        except (OSError, TypeError, ValueError) as error:
            if not self._training:
                raise
            runner.logger.error(
                f"{file} is not written, the training goes on: {type(error).__name__}: {error}"
            )


def _evaluator(runner: Runner, mode: str) -> Any:
    """The evaluators' configs; their class names where they were passed as objects."""
    config = runner.cfg.get(f"{mode}_evaluator")
    if config is not None:
        return _settings(config)
    loop = runner.val_loop if mode == "val" else runner.test_loop
    return [{"type": type(metric).__name__} for metric in loop.evaluator.metrics]


def _settings(value: Any) -> Any:
    """A config as plain values; an object that has none appears as its text."""
    if isinstance(value, Mapping):
        return {str(key): _settings(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_settings(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else repr(value)
