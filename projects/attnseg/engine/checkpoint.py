"""Weights: loaded completely or not at all."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from attnseg.compat import setup_env

_SHOWN = 5


def load_weights(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Load every weight of a checkpoint into the model, strictly.

    Args:
        model: The model, possibly wrapped for distributed training.
        path: A checkpoint of mmengine, a bare state dict, or ``.safetensors``.

    Returns:
        What the checkpoint holds besides the weights (``meta`` and so on).

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: The file is damaged or not plain weights, or its keys or
            shapes are not those of the model: names the first of each kind, how
            many there are, and the config that the checkpoint was saved with.
    """
    checkpoint, weights = _read(path)
    model = _unwrapped(model)
    _require_all(model, weights, checkpoint, path)
    model.load_state_dict(weights, strict=False)
    return {key: value for key, value in checkpoint.items() if key not in ("state_dict", *weights)}


def check_weights(model: nn.Module, path: str | Path, *, strict: bool) -> str:
    """Compare a checkpoint with a model before a training starts from it; loads nothing.

    Args:
        model: The model, possibly wrapped for distributed training.
        path: As for :func:`load_weights`.
        strict: Whether each weight has to fit, as it must to resume.

    Returns:
        How many weights match, are missing, unexpected, or of another shape, to be shown.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: No weight fits, or ``strict`` and not all do; or the file is damaged.
    """
    checkpoint, weights = _read(path)
    model = _unwrapped(model)
    if strict:
        _require_all(model, weights, checkpoint, path)
    expected = model.state_dict()
    problems = _differences(expected, weights)
    shapes = [key for key in expected if key in weights and _differ(expected, weights, key)]
    matching = sum(key in weights for key in expected) - len(shapes)
    if matching == 0:
        raise RuntimeError(
            f"{path}: not one weight fits {type(model).__name__}: {'; '.join(problems)}. "
            f"{_hint(checkpoint)}"
        )
    return "; ".join([f"{matching} of {len(expected)} weights match", *problems])


def _read(path: str | Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """A checkpoint, and the weights in it without the prefix of a wrapper."""
    setup_env()
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location="cpu", logger="silent")
    weights = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(weights, Mapping) or not weights or not all(map(_is_weight, weights.items())):
        raise RuntimeError(
            f"{path}: holds no weights; expected a dict of tensors or one under 'state_dict'."
        )
    return checkpoint, {key.removeprefix("module."): value for key, value in weights.items()}


def _is_weight(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _unwrapped(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _require_all(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    checkpoint: Mapping[str, Any],
    path: str | Path,
) -> None:
    problems = _differences(model.state_dict(), weights)
    if problems:
        raise RuntimeError(
            f"{path}: the weights do not fit {type(model).__name__}: "
            + "; ".join(problems)
            + f". {_hint(checkpoint)}"
        )


def _differ(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], key: str) -> bool:
    return expected[key].shape != given[key].shape


def _differences(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    # mmengine ignores this counter too: BatchNorm works without it.
    missing = [k for k in expected if k not in given and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in expected]
    shapes = [
        f"{key} is {tuple(given[key].shape)}, the model has {tuple(value.shape)}"
        for key, value in expected.items()
        if key in given and _differ(expected, given, key)
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    return [f"{len(keys)} {kind} ({_first(keys)})" for kind, keys in kinds if keys]


def _first(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _hint(checkpoint: Mapping[str, Any]) -> str:
    meta = checkpoint.get("meta")
    name = meta.get("experiment_name") if isinstance(meta, Mapping) else None
    if not isinstance(name, str):
        return "Use the config that the checkpoint was trained with"
    # The runner appends the date to the name of the config.
    config = re.sub(r"_\d{8}_\d{6}$", "", name)
    return f"The checkpoint was trained with the config '{config}.py': use that one"
