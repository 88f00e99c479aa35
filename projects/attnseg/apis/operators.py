"""Refuse a model that needs mmcv's compiled operators before it starts to work without them."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from attnseg.compat import operators_compiled

# Class of mmcv.ops -> an operator that its forward pass calls.
_MODULES = {
    "RoIAlign": "roi_align_forward",
    "RoIPool": "roi_pool_forward",
    "DeformConv2d": "deform_conv_forward",
    "ModulatedDeformConv2d": "modulated_deform_conv_forward",
    "CARAFE": "carafe_forward",
}
# mmcv computes it with plain torch on a CPU.
_MODULES_ON_GPU = {"MultiScaleDeformableAttention": "ms_deform_attn_forward"}
_SUPPRESSIONS = ("nms", "soft_nms")


def require_operators(model_cfg: Any, model: Any) -> None:
    """Stop if the model will call an operator that is not compiled.

    What is not found here still stops with the same message when it is called.

    Args:
        model_cfg: Its config, where box-based heads name their suppression.
        model: A built model, on the device where it will run.

    Raises:
        MissingOperatorError: Names the operator, who needs it, and the command to compile it.
    """
    if operators_compiled():
        return
    for name in (*_suppressions(model_cfg), *_modules(model)):
        getattr(sys.modules["mmcv._ext"], name)()


def _suppressions(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        own = value.get("nms")
        kind = own.get("type", "nms") if isinstance(own, Mapping) else None
        if kind in _SUPPRESSIONS:
            yield kind.replace("soft_nms", "softnms")
        for item in value.values():
            yield from _suppressions(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _suppressions(item)


def _modules(model: Any) -> Iterator[str]:
    on_gpu = any(parameter.is_cuda for parameter in model.parameters())
    known = {**_MODULES, **_MODULES_ON_GPU} if on_gpu else _MODULES
    for module in model.modules():
        for base in type(module).__mro__:
            if base.__module__.startswith("mmcv.ops.") and base.__name__ in known:
                yield known[base.__name__]
