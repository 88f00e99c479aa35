"""The ``scale`` of a config: how a training is spread over steps, bits and processes."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.engine.hooks.scaled_rate import RULES

_DEFAULTS: dict[str, Any] = {
    "accumulate": 1,
    "precision": "fp32",
    "compile": False,
    "checkpoint_activations": False,
    "strategy": "ddp",
    "lr_rule": None,
    "base_batch": None,
}
_CHOICES = {
    "precision": ("fp32", "bf16", "fp16"),
    "compile": (False, True),
    "strategy": ("ddp", "fsdp"),
    "lr_rule": (None, *RULES),
}
_WRAPPERS = ("OptimWrapper", "AmpOptimWrapper", "attnseg.AutocastOptimWrapper")


def apply_scale(cfg: Any, *, amp: bool = False, rule: str | None = None) -> None:
    """Put what ``cfg.scale`` says where the Runner reads it; without it nothing changes.

    Args:
        cfg: An ``mmengine.Config`` with all options merged; changed in place.
        amp: As ``scale.precision="fp16"``.
        rule: As ``scale.lr_rule``.

    Raises:
        UsageError: A switch or value is unknown, or cannot work with this config.
    """
    given = cfg.get("scale")
    scale = _checked({} if given is None else given)
    if amp:
        scale["precision"] = "fp16"
    if rule is not None:
        scale["lr_rule"] = rule
    mmengines = cfg.get("auto_scale_lr") or {}
    if not isinstance(mmengines, Mapping):
        raise UsageError(f"auto_scale_lr: expected a dict, got {mmengines!r:.60}.")
    if mmengines.get("enable") and scale["lr_rule"] is None:
        scale["lr_rule"] = "linear"
    changed = {key: value for key, value in scale.items() if value != _DEFAULTS[key]}
    if not changed:
        return
    flag = "--amp" if amp else f"scale.{next(iter(changed))}"
    if cfg.get("optim_wrapper") is None:
        raise UsageError(f"{flag}: {cfg.filename} has no optim_wrapper.")
    _accumulate(cfg, scale["accumulate"])
    _precision(cfg, scale, "--amp" if amp else f"scale.precision={scale['precision']}")
    if scale["strategy"] == "fsdp":
        _shard(cfg)
    if scale["lr_rule"] is not None:
        _scale_rate(cfg, scale)
        # Ours takes its place: mmengine's forgets accumulated steps.
        cfg.auto_scale_lr = {**mmengines, "enable": False}
    execution = {key: scale[key] for key in ("compile", "checkpoint_activations")}
    if any(execution.values()) or scale["strategy"] == "fsdp":
        _add_hook(cfg, {"type": "attnseg.ExecutionHook", **execution})


def check_machine(cfg: Any) -> None:
    """Refuse a training that this machine or launcher cannot run; call it as one begins.

    Apart from :func:`apply_scale`, because a config is also read where nothing is trained: on the
    login node that submits it, and by a test, which predicts in float32 with whole weights.

    Raises:
        UsageError: float16 without a GPU, or sharding over a single process.
    """
    from mmengine.device import is_cuda_available

    wrapper = cfg.get("optim_wrapper") or {}
    half = wrapper.get("type") == "AmpOptimWrapper" and wrapper.get("dtype") == "float16"
    if half and not is_cuda_available():
        raise UsageError(
            "scale.precision=fp16 (--amp): mixed precision in float16 needs a GPU, and torch sees "
            "none. Leave it out, or set scale.precision=bf16."
        )
    sharded = (cfg.get("model_wrapper_cfg") or {}).get("type") == "attnseg.ShardedModel"
    if sharded and cfg.get("launcher", "none") == "none":
        raise UsageError(
            "scale.strategy=fsdp: shards weights over processes, and this is one. Start several "
            "with `torchrun --nproc-per-node=N tools/train.py CONFIG --launcher pytorch` or srun, "
            "or leave it out."
        )


def _checked(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UsageError(
            f"scale: expected switches such as scale.precision=bf16; got {given!r}. There are "
            f"{', '.join(_DEFAULTS)}."
        )
    for key, value in given.items():
        if key not in _DEFAULTS:
            near = difflib.get_close_matches(str(key), _DEFAULTS, n=1)
            fix = f"Did you mean {near[0]}?" if near else f"There are {', '.join(_DEFAULTS)}."
            raise UsageError(f"scale.{key}: there is no such switch. {fix}")
        if key in _CHOICES and not any(value is one or value == one for one in _CHOICES[key]):
            choices = ", ".join(map(repr, _CHOICES[key]))
            raise UsageError(f"scale.{key}: expected one of {choices}; got {value!r}.")
    scale = {**_DEFAULTS, **given}
    for key in ("accumulate", "base_batch"):
        value = scale[key]
        if value is None and key == "base_batch":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"scale.{key}: expected an integer from 1 on; got {value!r}.")
    blocks = scale["checkpoint_activations"]
    if isinstance(blocks, str):
        scale["checkpoint_activations"] = blocks = [blocks]
    if not isinstance(blocks, bool) and (
        not isinstance(blocks, (list, tuple)) or not all(isinstance(item, str) for item in blocks)
    ):
        raise UsageError(
            "scale.checkpoint_activations: expected True, False or a list of module names such as "
            f"['backbone.layer1']; got {blocks!r}."
        )
    return scale


def _accumulate(cfg: Any, steps: int) -> None:
    if steps == 1:
        return
    _plain_wrapper(cfg, f"scale.accumulate={steps}")
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    interval = hook.get("interval", -1)
    if not hook.get("by_epoch", True) and interval > 0 and interval % steps:
        raise UsageError(
            f"scale.accumulate={steps}: a checkpoint every {interval} iterations falls between "
            "updates, and a run resumed from it has lost gradients. Set "
            f"default_hooks.checkpoint.interval={max(1, interval // steps) * steps}."
        )
    cfg.optim_wrapper.accumulative_counts = steps


def _precision(cfg: Any, scale: Mapping[str, Any], flag: str) -> None:
    precision = scale["precision"]
    if precision == "fp32":
        return
    _plain_wrapper(cfg, flag)
    wrapper = cfg.optim_wrapper
    if precision == "bf16":
        wrapper.type = "attnseg.AutocastOptimWrapper"
        for key in ("dtype", "loss_scale", "use_fsdp"):
            wrapper.pop(key, None)
        return
    if scale["strategy"] == "fsdp":
        raise UsageError(f"{flag}: sharded gradients are not scaled. Set scale.precision=bf16.")
    wrapper.type = "AmpOptimWrapper"
    wrapper.dtype = "float16"
    wrapper.setdefault("loss_scale", "dynamic")


def _plain_wrapper(cfg: Any, flag: str) -> None:
    """Refuse wrappers of several optimizers, and those of other libraries."""
    wrapper = cfg.optim_wrapper
    kind = wrapper.get("type", "OptimWrapper")
    if kind not in _WRAPPERS or "optimizer" not in wrapper:
        named = f"of type {kind}" if kind not in _WRAPPERS else "of several optimizers"
        raise UsageError(
            f"{flag}: works with one optimizer in an OptimWrapper; {cfg.filename} has an "
            f"optim_wrapper {named}."
        )


def _shard(cfg: Any) -> None:
    flag = "scale.strategy=fsdp"
    _plain_wrapper(cfg, flag)
    hooks = [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or [])]
    averaging = [hook for hook in hooks if "EMA" in str(hook.get("type", ""))]
    if averaging:
        raise UsageError(
            f"{flag}: {averaging[0]['type']} needs whole weights. Take it out, or use "
            "scale.strategy=ddp."
        )
    if cfg.get("model_wrapper_cfg") is not None:
        raise UsageError(f"{flag}: {cfg.filename} has a model_wrapper_cfg of its own.")
    cfg.model_wrapper_cfg = {"type": "attnseg.ShardedModel"}


def _scale_rate(cfg: Any, scale: Mapping[str, Any]) -> None:
    base = scale["base_batch"] or base_batch(cfg)
    if base is None:
        raise UsageError(
            f"scale.lr_rule={scale['lr_rule']}: {cfg.filename} does not say which batch its "
            "learning rate is for. Set scale.base_batch to GPUs x images each."
        )
    if not (cfg.get("train_dataloader") or {}).get("batch_size"):
        raise UsageError("scale.lr_rule: the train_dataloader has no batch_size.")
    hook = {"type": "attnseg.ScaledRateHook", "base_batch": base, "rule": scale["lr_rule"]}
    _add_hook(cfg, {**hook, "accumulate": scale["accumulate"]})


def base_batch(cfg: Any) -> int | None:
    """Images of an update that a config's learning rate is for, or None if it does not say.

    That is ``auto_scale_lr.base_batch_size``, else what the leaf's name has: ``2xb7`` are 14.
    """
    named = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
    if named:
        return int(named)
    found = re.search(r"_(\d+)xb(\d+)-", Path(cfg.filename or "").name)
    return int(found[1]) * int(found[2]) if found else None


def _add_hook(cfg: Any, hook: dict[str, Any]) -> None:
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]
