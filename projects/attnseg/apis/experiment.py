"""From a config name to a run: what ``tools/train.py`` and ``tools/test.py`` share."""

import difflib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attnseg
from attnseg.apis.arguments import argument_errors, check_classes
from attnseg.apis.command import LAUNCHERS, UsageError, input_errors, run_command, training_errors
from attnseg.apis.config_errors import config_errors, option_errors
from attnseg.apis.config_typos import warn_of_typos
from attnseg.apis.data_workers import lost_workers
from attnseg.apis.operators import require_operators
from attnseg.apis.options import check_options, data_roots, replace_data_root
from attnseg.apis.resume import AUTO, choose_checkpoint, hold_folder
from attnseg.apis.scale import apply_scale, check_machine
from attnseg.apis.schedule import shorten_training, step_unit
from attnseg.apis.tta import with_tta
from attnseg.compat import forget_runs, set_run_folder, setup_env
from attnseg.errors import SampleError

__all__ = [
    "LAUNCHERS",
    "UsageError",
    "build_config",
    "config_folders",
    "find_config",
    "input_errors",
    "replace_data_root",
    "run_command",
    "run_test",
    "run_train",
    "shorten_training",
    "with_tta",
]


_RECORDERS = ("ResultHook", "RecordHook")


def config_folders(package: str = "attnseg") -> list[Path]:
    """Where the configs of an installed package lie; the checkout's own folder comes first."""
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):  # the parent of a dotted name is missing
        return []
    if spec is None or not spec.submodule_search_locations:
        return []
    root = Path(next(iter(spec.submodule_search_locations)))
    candidates = [root / ".mim" / "configs"]
    if package == "attnseg":
        candidates.insert(0, Path(attnseg.__file__).resolve().parents[2] / "configs")
    return [folder for folder in candidates if folder.is_dir()]


def find_config(name: str | Path) -> Path:
    """Path of a config: a file, ``package::folder/name.py``, a path below ``configs/`` or a name.

    A file may be Python, or the JSON that ``tools/publish.py`` writes.

    Raises:
        UsageError: Nothing of that name; proposes the nearest ones. Or it ends in ``.json`` and is
            a link to another kind of file.
    """
    package, separator, relative = str(name).rpartition("::")
    if not separator and Path(name).is_file():
        found = Path(name).resolve()
        if _is_json(name) and not _is_json(found):
            # Who names data must not run a program.
            raise UsageError(
                f"{name}: a link to {found}, which is not JSON: name that file itself."
            )
        return found
    folders = config_folders(package or "attnseg")
    relative = relative.removeprefix("configs/")
    for folder in folders:
        for candidate in (folder / relative, folder / f"{relative}.py"):
            if candidate.is_file():
                return candidate.resolve()
    known = {path.stem: path for folder in reversed(folders) for path in folder.glob("[!_]*/*.py")}
    if Path(relative).stem in known and "/" not in relative:
        return known[Path(relative).stem].resolve()
    near = difflib.get_close_matches(Path(relative).stem, known, n=3, cutoff=0.5)
    proposal = f" Did you mean {', '.join(near)}?" if near else ""
    places = ", ".join(map(str, folders)) or f"an installed package '{package}'"
    raise UsageError(
        f"config '{name}' not found: neither a file nor in {places}."
        + (proposal or " Give a path, or a name below configs/.")
    )


def _is_json(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".json"


def build_config(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    data: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    seed: int | None = None,
    amp: bool = False,
    auto_scale_lr: str | None = None,
    resume: str | None = None,
    checkpoint: str | Path | None = None,
    show_dir: str | Path | None = None,
    max_iters: int | None = None,
    max_epochs: int | None = None,
    tta: bool = False,
    save_predictions: str | Path | None = None,
) -> Any:
    """Read a config and apply what the command line says; files are checked at once.

    Args:
        config: See :func:`find_config`.
        work_dir: Run folder; else the config's, else ``./work_dirs/<config stem>``.
        data: Takes the place of the data folder in every dataset and evaluator.
        cfg_options: Dotted keys -> values, merged before the other arguments are applied.
        launcher: One of ``LAUNCHERS``.
        seed: Takes the place of the config's.
        amp: Train in float16, which needs a GPU. ``scale.precision`` has bfloat16 too.
        auto_scale_lr: ``'linear'`` or ``'sqrt'``: the learning rate follows the batch.
        resume: ``'auto'`` continues from the newest whole checkpoint of the run folder, and starts
            as without it if there is none; a path continues from that file. Where the config or
            the length has changed since, the new schedule holds from there on.
        checkpoint: Weights to evaluate, or to start from.
        show_dir: Where a test draws its predictions.
        max_iters: Length of the training; see :func:`shorten_training`.
        max_epochs: The same for a config that counts epochs.
        tta: Test with flips; see :func:`with_tta`.
        save_predictions: Where a test writes its predictions, for submissions and pictures.

    Returns:
        The ``mmengine.Config`` for a Runner.

    Raises:
        UsageError: A file or folder is missing, or an option does not fit the config.
    """
    setup_env()
    path = find_config(config)
    with config_errors(path):
        cfg = _read(path)
    options = dict(cfg_options or {})
    moved = options.pop("data_root", None)
    data = data if data is not None else moved
    check_options(cfg, options)
    warn_of_typos(path, options)
    with option_errors(options):
        cfg.merge_from_dict(options)
    if data is not None:
        replace_data_root(cfg, str(data))
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or Path("work_dirs") / path.stem)
    cfg.launcher = _checked_launcher(launcher)
    if seed is not None:
        cfg.randomness = {**cfg.get("randomness", {}), "seed": seed}
    for steps, unit in ((max_iters, "max_iters"), (max_epochs, "max_epochs")):
        if steps is not None:
            _set_length(cfg, steps, unit)
    apply_scale(cfg, amp=amp, rule=auto_scale_lr)
    _choose_checkpoint(cfg, resume, checkpoint)
    if show_dir is not None:
        _draw_into(cfg, Path(show_dir))
    if save_predictions is not None:
        _save_predictions(cfg, Path(save_predictions))
    if tta:
        with_tta(cfg)
    return cfg


def _read(path: Path) -> Any:
    from attnseg.apis.json_config import read_config

    try:
        return read_config(path)
    except FileNotFoundError as error:
        package = Path(attnseg.__file__).resolve().parent
        if package / ".mim" in Path(str(error.filename or "")).absolute().parents:
            raise UsageError(
                f"{path}: a base 'attnseg::...' is found only where attnseg is installed, and "
                f"{package} is merely on the path: run pip install -e . in the checkout."
            ) from error
        raise


def run_train(cfg: Any) -> Any:
    """Train by the config; returns the Runner afterwards.

    SIGUSR1 and SIGTERM have the training save and end with status 75 from here on. With
    ``cfg.resume`` of ``'auto'``, a training that is complete already is not begun.

    Raises:
        UsageError: A data folder is missing, a data set or the config does not fit, or the
            checkpoint to start from, or one that an ``init_cfg`` names, does not: to resume, all
            of it has to. Or another training is at work in the run folder.
        MissingOperatorError: The model needs an operator of mmcv that is not compiled.
    """
    from attnseg.engine.signals import listen, stop_listening

    check_machine(cfg)
    _check_data(cfg, ("train_dataloader", "val_dataloader"))
    listen()
    try:
        with input_errors():
            runner = _build_runner(cfg)
        with hold_folder(runner):
            with input_errors():
                complete = choose_checkpoint(runner)
            if not complete:
                _train(runner)
    except Exception:
        # Not of Preempted: until the process has ended with that status, no signal may end it.
        stop_listening()
        raise
    stop_listening()
    return runner


def _train(runner: Any) -> None:
    from attnseg.engine.checkpoint import check_weights
    from attnseg.engine.hooks import (
        ChannelsHook,
        ExactResumeHook,
        PreemptionHook,
        ScheduleHook,
        StepLogHook,
    )

    cfg = runner.cfg
    if cfg.get("load_from"):
        with input_errors(RuntimeError):
            found = check_weights(runner.model, cfg.load_from, strict=bool(cfg.get("resume")))
        runner.logger.info(f"{cfg.load_from}: {found}")
    with input_errors(), argument_errors(cfg):
        _build_loops(runner, "train_loop", "val_loop")
    check_classes(runner)
    _check_first_weights(runner)
    # PreemptionHook listens before ExactResumeHook validates.
    for hook in (ChannelsHook, StepLogHook, PreemptionHook, ExactResumeHook):
        if not any(isinstance(present, hook) for present in runner.hooks):
            runner.register_hook(hook())
    if cfg.get("resume"):
        runner.register_hook(ScheduleHook())
    with training_errors(), lost_workers(runner):
        runner.train()


def run_test(cfg: Any) -> dict[str, float]:
    """Evaluate ``cfg.load_from`` on the test set; returns the metrics, unrounded.

    Raises:
        UsageError: A data folder is missing, a data set or the config does not fit, or the
            checkpoint does not; then it names keys and shapes.
        MissingOperatorError: The model needs an operator of mmcv that is not compiled.
    """
    from attnseg.engine.checkpoint import load_weights

    _check_data(cfg, ("test_dataloader",))
    with input_errors():
        runner = _build_runner(cfg)
    # The runner loads them once more, leniently, after its hooks are set up.
    with input_errors(RuntimeError):
        load_weights(runner.model, cfg.load_from)
    with input_errors(TypeError), argument_errors(cfg):
        _build_loops(runner, "test_loop")
    # What goes wrong from here on is nearly always an image or an annotation.
    with input_errors(KeyError, SampleError), lost_workers(runner):
        return runner.test()


def _build_runner(cfg: Any) -> Any:
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    set_run_folder(cfg.work_dir)
    _leave_records(cfg)
    forget_runs()
    with argument_errors(cfg):
        runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    require_operators(cfg.get("model"), runner.model)
    return runner


def _build_loops(runner: Any, *names: str) -> None:
    """Open data sets and evaluators ahead of the run: reading these makes the Runner build them."""
    from mmengine.runner import Runner

    if isinstance(runner, Runner):
        for name in names:
            getattr(runner, name)


def _check_first_weights(runner: Any) -> None:
    """Have files that an ``init_cfg`` names, read in the midst of ``train()``, end it in one line.

    Reading them beforehand too would draw random numbers twice, and change what a seed gives.
    """
    initialize = getattr(runner, "_init_model_weights", None)
    if initialize is not None:
        runner._init_model_weights = input_errors(RuntimeError)(initialize)


def _set_length(cfg: Any, steps: int, unit: str) -> None:
    own = step_unit(cfg)
    if own not in (unit, None):
        flag, fix = (f"--{name.replace('_', '-')}" for name in (unit, own))
        raise UsageError(f"{flag}: {cfg.filename} counts in another unit: use {fix}.")
    shorten_training(cfg, steps)


def _checked_launcher(launcher: str) -> str:
    if launcher not in LAUNCHERS:
        raise UsageError(f"--launcher {launcher}: expected one of {', '.join(LAUNCHERS)}.")
    if launcher == "pytorch" and "RANK" not in os.environ:
        raise UsageError(
            "--launcher pytorch: RANK is not set. Start with "
            "`torchrun --nproc-per-node=N tools/train.py CONFIG --launcher pytorch`."
        )
    if launcher == "slurm" and "SLURM_PROCID" not in os.environ:
        raise UsageError("--launcher slurm: SLURM_PROCID is not set. Start the command with srun.")
    return launcher


def _choose_checkpoint(cfg: Any, resume: str | None, checkpoint: str | Path | None) -> None:
    if resume is None and checkpoint is None and cfg.get("resume") and not cfg.get("load_from"):
        resume = AUTO
    chosen = resume if resume not in (None, AUTO) else checkpoint
    if chosen is not None:
        if "://" not in str(chosen) and not Path(chosen).expanduser().is_file():
            raise UsageError(
                f"checkpoint '{chosen}' not found. {_nearby_checkpoints(Path(chosen))}"
            )
        cfg.resume, cfg.load_from = resume is not None, str(chosen)
    if resume == AUTO:
        # Settled when the run begins, once for all processes. With nothing to continue from, it
        # is a fresh start: what a requeued job needs.
        cfg.resume = AUTO


def _nearby_checkpoints(path: Path) -> str:
    found = sorted(item.name for item in path.parent.glob("*.pth")) if path.parent.is_dir() else []
    if found:
        return f"{path.parent.absolute()} has {', '.join(found[-5:])}."
    return "Train first (tools/train.py writes epoch_N.pth or iter_N.pth into its run folder)."


def _draw_into(cfg: Any, folder: Path) -> None:
    """Turn on the visualization hook that the runtime base put into the config."""
    hooks = [*cfg.get("default_hooks", {}).values(), *(cfg.get("custom_hooks") or [])]
    for hook in hooks:
        kind = str(hook.get("type", "")).rpartition(".")[2]
        if kind in ("PictureHook", "DetVisualizationHook"):
            hook.update(draw=True, test_out_dir=str(folder.absolute()))
            return
        if kind == "SegVisualizationHook":
            hook.update(draw=True)
            cfg.visualizer.save_dir = str(folder)
            return
    raise UsageError(f"--show-dir: {cfg.filename} has no visualization hook to draw with.")


def _leave_records(cfg: Any) -> None:
    """Have any config's run leave its result and record, as ours do."""
    from attnseg.engine.config_hash import type_name

    present = [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or [])]
    names = {type_name(hook) for hook in present}
    missing = [{"type": f"attnseg.{name}"} for name in _RECORDERS if name not in names]
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), *missing]


def _save_predictions(cfg: Any, folder: Path) -> None:
    from attnseg.engine.evaluators import metric_configs

    evaluators = cfg.get("test_evaluator")
    if not evaluators:
        raise UsageError(f"--save-predictions: {cfg.filename} has no test_evaluator to add to.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--save-predictions: '{folder}' is a file; give a folder.")
    writer = {"type": "attnseg.PredictionWriter", "out_dir": str(folder)}
    metrics = [*metric_configs(evaluators), writer]
    own = isinstance(evaluators, Mapping) and "metrics" in evaluators
    cfg.test_evaluator = {**evaluators, "metrics": metrics} if own else metrics


def _check_data(cfg: Any, loaders: tuple[str, ...]) -> None:
    roots = {root for name in loaders for root in data_roots(cfg.get(name))}
    for root in sorted(roots):
        if "://" not in root and not Path(root).is_dir():
            raise UsageError(
                f"data folder '{root}' not found (looked from {Path.cwd()}). "
                "Give the folder with --data DIR."
            )
