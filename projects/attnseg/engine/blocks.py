"""The repeated blocks of a network: what is computed again, compiled or sharded as one."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn

from attnseg.errors import InputError
from attnseg.recompute import recompute

# Ours have the class attribute `is_block`; these are the libraries', which the baselines use.
_LIBRARIES = ("mmdet.", "mmseg.", "mmcv.")
_FOREIGN = {
    *("BasicBlock", "Bottleneck", "BasicConvBlock", "SwinBlock", "TransformerEncoderLayer"),
    *("DetrTransformerEncoderLayer", "DetrTransformerDecoderLayer"),
    *("DeformableDetrTransformerEncoderLayer", "Mask2FormerTransformerDecoderLayer"),
    *("DepthwiseSeparableASPPModule", "ASPPModule", "CBAM"),
}


def find_blocks(model: nn.Module, paths: Sequence[str] | None = None) -> dict[str, nn.Module]:
    """The outermost blocks of a model by name, in its order.

    Args:
        model: Without a wrapper of distributed training.
        paths: Names of modules to take instead, such as ``backbone.layer3.0``.

    Raises:
        InputError: A path names no module, or the model has no block.
    """
    if paths is not None:
        modules = dict(model.named_modules())
        for path in paths:
            if path not in modules or not path:
                children = ", ".join(name for name, _ in model.named_children())
                raise InputError(
                    f"scale.checkpoint_activations: {type(model).__name__} has no module "
                    f"'{path}'; it has {children}, and what is in these."
                )
        return {path: modules[path] for path in paths}
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{other}.") for other in found)
        if _is_block(module) and not inside:
            found[name] = module
    if not found:
        raise InputError(
            f"{type(model).__name__} has no block that is known; name the modules: "
            "scale.checkpoint_activations=\"['backbone.layer1']\"."
        )
    return found


def _is_block(module: nn.Module) -> bool:
    kind = type(module)
    known = kind.__name__ in _FOREIGN and kind.__module__.startswith(_LIBRARIES)
    return known or getattr(module, "is_block", False)


def checkpoint_blocks(model: nn.Module, paths: Sequence[str] | None, *, compiled: bool) -> int:
    """Have blocks compute their inner results again in the backward pass; returns how many.

    Modules with a switch ``with_cp`` of their own are asked to do it their way, the libraries'
    blocks are not: theirs count each batch twice in batch norms.

    Args:
        model: Without a wrapper of distributed training.
        paths: See :func:`find_blocks`.
        compiled: Compile the blocks too, if a compiler works.
    """
    compiled = compiled and compiler_works()
    blocks = find_blocks(model, paths)
    own = [m for m in model.modules() if hasattr(m, "with_cp") and _ours(m)] if not paths else []
    for module in own:
        module.with_cp = True
    for block in blocks.values():
        for inner in block.modules():
            if hasattr(inner, "with_cp") and not _ours(inner):
                inner.with_cp = False
        forward = torch.compile(block.forward) if compiled else block.forward
        block.forward = _Recomputed(forward, block)
    return len(blocks) + len(own)


class _Recomputed:
    def __init__(self, forward: Any, owner: nn.Module) -> None:
        self.forward, self.owner = forward, owner

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        return recompute(self.forward, *inputs, owner=self.owner, random=True, **named)


def _ours(module: nn.Module) -> bool:
    return type(module).__module__.startswith("attnseg.")


def compile_parts(model: nn.Module) -> list[str]:
    """Compile encoder, neck and heads of a model; returns their names.

    Only the forward pass of each is compiled, in place: names of weights stay, and what matches
    objects and draws samples stays Python. Where a graph breaks, the rest of it runs as before.
    Without a compiler that works, nothing is compiled.
    """
    names = []
    if not compiler_works():
        return names
    for name, module in _parts(model, ""):
        module.forward = torch.compile(module.forward)
        names.append(name)
    return names


def compiler_works() -> bool:
    """Whether torch.compile works here at all, tried on one addition; if not, a warning says so."""
    import torch._dynamo

    try:
        torch.compile(_add)(torch.ones(2, device=get_device()))
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        print_log(
            f"scale.compile: torch cannot compile on this machine ({reason}); training without.",
            "current",
            logging.WARNING,
        )
        return False
    return True


def _add(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def _parts(model: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    parts = []
    for name, child in model.named_children():
        if not any(True for _ in child.parameters()):
            continue
        # These are never called themselves: their parts are.
        if isinstance(child, (BaseModel, nn.ModuleList)) or name == "roi_head":
            parts += _parts(child, f"{prefix}{name}.")
        else:
            parts.append((prefix + name, child))
    return parts
