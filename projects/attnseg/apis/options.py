"""What ``--cfg-options`` and ``--data`` change in a config that is already computed."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attnseg.apis.command import UsageError

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
EVALUATORS = ("val_evaluator", "test_evaluator")
# What mmengine's runners, and here TTA, read from the top level of a config.
RUNNER_KEYS = {
    *LOADERS,
    *EVALUATORS,
    *("model", "work_dir", "train_cfg", "val_cfg", "test_cfg", "optim_wrapper", "param_scheduler"),
    *("auto_scale_lr", "default_hooks", "custom_hooks", "data_preprocessor", "load_from", "resume"),
    *("launcher", "env_cfg", "log_processor", "log_level", "visualizer", "default_scope"),
    *("randomness", "experiment_name", "runner_type", "strategy", "compile", "sync_bn"),
    *("model_wrapper_cfg", "find_unused_parameters", "activation_checkpointing"),
    *("efficient_conv_bn_eval", "custom_imports", "tta_model", "tta_pipeline", "scale"),
}
# A knob of our bases -> the fields that it went into.
_FIELDS = {
    "lr": ("optim_wrapper.optimizer.lr",),
    "weight_decay": ("optim_wrapper.optimizer.weight_decay",),
    "warmup_iters": ("param_scheduler.0.end", "param_scheduler.1.begin"),
    "val_interval": ("train_cfg.val_interval", "default_hooks.checkpoint.interval"),
    "batch_size": ("train_dataloader.batch_size",),
    "num_workers": tuple(f"{loader}.num_workers" for loader in LOADERS),
    "filter_empty_gt": ("train_dataloader.dataset.filter_cfg.filter_empty_gt",),
    "image_size": (
        "train_dataloader.dataset.pipeline.3.size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ),
    "train_pipeline": ("train_dataloader.dataset.pipeline",),
    "test_pipeline": ("val_dataloader.dataset.pipeline", "test_dataloader.dataset.pipeline"),
    "temperature": ("model.head.loss_instance.temperature",),
    "contrastive_weight": ("model.head.loss_instance.loss_weight",),
    "num_things": ("model.head.num_things",),
    "num_stuff": ("model.head.num_stuff",),
    "num_classes": ("model.decode_head.num_classes",),
}
_FLAGS = {"seed": "--seed", "max_iters": "--max-iters", "max_epochs": "--max-epochs"}


def check_options(cfg: Any, options: Iterable[str]) -> None:
    """Refuse options that no run reads: a base used the value when the config was computed.

    Args:
        cfg: The config before the options are merged.
        options: Dotted keys.

    Raises:
        UsageError: Names the field to set instead where it is known, else the nearest one.
    """
    for option in options:
        name, _, rest = option.partition(".")
        if name in RUNNER_KEYS:
            continue
        if name in _FLAGS:
            fix = f"Use {_FLAGS[name]}."
        elif fields := [field for field in _FIELDS.get(name, ()) if _has(cfg, field)]:
            fix = f"Set {' and '.join(f'{field}.{rest}' if rest else field for field in fields)}."
        elif name in cfg:
            fix = "Set the field of the model, loader or schedule that it went into."
        else:
            near = difflib.get_close_matches(name, RUNNER_KEYS, n=1)
            fix = f"Did you mean {near[0]}?" if near else "It is no field of a run."
        why = "is read while the config is computed" if name in cfg else "is not in the config"
        raise UsageError(f"--cfg-options {option}: '{name}' {why}: it would change nothing. {fix}")


def _has(cfg: Any, field: str) -> bool:
    value = cfg
    for part in field.split("."):
        if isinstance(value, (list, tuple)):
            if not part.isdigit() or int(part) >= len(value):
                return False
            value = value[int(part)]
        elif value is None or part not in value:
            return False
        else:
            value = value[part]
    return True


def replace_data_root(cfg: Any, folder: str) -> None:
    """Put ``folder`` in place of the data folder in all datasets and evaluators.

    The old folder is the one that the datasets name; where they name several, it is the config's
    ``data_root`` if that is among them.

    Raises:
        UsageError: No dataset names a folder, or several do and none is the config's.
    """
    named = cfg.get("data_root")
    own = named.rstrip("/") if isinstance(named, str) else ""
    roots = {root.rstrip("/") for key in LOADERS for root in data_roots(cfg.get(key))} - {""}
    outside = {root for root in roots if not own or not below(root, own)}
    if len(outside) > 1 and outside == roots:
        raise UsageError(
            f"--data: the datasets of {cfg.filename} lie in {', '.join(sorted(roots))}; set each "
            "with --cfg-options train_dataloader.dataset.data_root=..."
        )
    # A leaf may name a data_root of its own, which its evaluators use and its datasets do not.
    old = {own} | outside if outside == roots else {own}
    old.discard("")
    new, count = folder.rstrip("/") or "/", 0

    def moved(value: Any) -> Any:
        nonlocal count
        if isinstance(value, dict):
            for key in value:
                value[key] = moved(value[key])
            return value
        if isinstance(value, (list, tuple)):
            return type(value)(moved(item) for item in value)
        if isinstance(value, str):
            for prefix in old:
                if below(value, prefix):
                    count += 1
                    return new + value[len(prefix) :]
        return value

    for key in (*LOADERS, *EVALUATORS):
        if cfg.get(key) is not None:
            cfg[key] = moved(cfg[key])
    if count == 0:
        raise UsageError(
            f"--data: no dataset of {cfg.filename} has a data_root to replace; set the folders "
            "with --cfg-options train_dataloader.dataset.data_root=..."
        )
    if own:
        cfg.data_root = moved(named)


def below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, as both are written."""
    return path == folder or path.startswith(folder + "/")


def data_roots(value: Any) -> Iterator[str]:
    """``data_root`` of each dataset in a dataloader, through wrappers and lists."""
    if isinstance(value, Mapping):
        if isinstance(value.get("data_root"), str) and value["data_root"]:
            yield value["data_root"]
        for item in value.values():
            yield from data_roots(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from data_roots(item)
