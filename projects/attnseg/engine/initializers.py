"""Pretrained weights for backbones whose images have other channels than those they learned."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper, update_init_info
from mmengine.runner import CheckpointLoader
from mmengine.utils import get_object_from_string
from torch import Tensor, nn

from attnseg.compat import setup_env
from attnseg.registry import WEIGHT_INITIALIZERS

_SHOWN = 8
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Classifiers on top of backbones; a backbone without them is complete.
_CLASSIFIERS = ("fc.", "head.", "classifier.")


@WEIGHT_INITIALIZERS.register_module()
class AdaptedPretrained:
    """Load local pretrained weights, with the first convolution adapted to the channels.

    ``init_cfg=dict(type='attnseg.AdaptedPretrained', checkpoint='r50.pth')`` in a backbone. The
    first convolution of the model is adapted if its input channels, and those of no other
    convolution, are not those of the file: see :func:`adapt_input_channels`. Everything else that
    does not fit keeps its initial value and is logged with name and shape; a classifier on top
    (``fc.*``, ``head.*``) is dropped. Where less than half of the model is loaded, or the file has
    another number of blocks, the log asks whether it is of the same architecture and depth.

    As mmengine's ``Pretrained``, this has the last word over the initialisation of submodules;
    in a list of several, write it last. A backbone that reads ``init_cfg.checkpoint`` itself
    (mmdet's SwinTransformer) never asks for an initializer: leave its ``init_cfg`` out, and give
    this one to the detector, with ``module='backbone'``.

    Args:
        checkpoint: ``.pth`` or ``.safetensors`` on a local disk: weights, or weights under
            ``state_dict`` or ``model``. Nothing is ever downloaded.
        prefix: Use the weights whose names begin so, without it: ``'backbone.'`` for the backbone
            of a detector's checkpoint.
        module: Dotted name of the submodule to load into, instead of the module itself.
        converter: Full name of a function of the dict of weights that renames them, such as
            ``'mmdet.models.backbones.swin.swin_converter'`` for the authors' own Swin files (its
            names then begin with ``'backbone.'``: give the prefix too).

    Raises:
        ValueError: ``checkpoint`` is an address, or there is no such ``module`` or ``converter``.
        FileNotFoundError: There is no such file.
        RuntimeError: The file is damaged or holds no plain weights, no weight has the prefix, no
            weight fits, or several weights differ in their input channels; names the file.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        prefix: str | None = None,
        module: str | None = None,
        converter: str | None = None,
    ) -> None:
        self.checkpoint = str(checkpoint)
        self.prefix = prefix
        self.module = module
        self.converter = converter
        if "://" in self.checkpoint:
            raise ValueError(
                f"{self.checkpoint}: AdaptedPretrained reads local files only and downloads "
                "nothing. Fetch the file once, and give its path as checkpoint."
            )

    def __call__(self, module: nn.Module) -> None:
        """Load into the module; initialise its children before, so that they cannot undo it."""
        target = self._target(module)
        weights = self._read()
        _initialize_children(module)
        fitting, report = self._fit(target, weights)
        target.load_state_dict(fitting, strict=False)
        for level, line in report:
            print_log(f"{self.checkpoint}: {line}", "current", level)
        if hasattr(module, "_params_init_info"):
            update_init_info(module, f"{type(self).__name__}: load from {self.checkpoint}")

    def _target(self, module: nn.Module) -> nn.Module:
        try:
            return module.get_submodule(self.module or "")
        except AttributeError as error:
            names = ", ".join(name for name, _ in module.named_children()) or "none"
            raise ValueError(
                f"{self.checkpoint}: AdaptedPretrained(module={self.module!r}) is no submodule of "
                f"{type(module).__name__}; its children are {names}. Correct module, or leave it "
                "out to load into the module itself."
            ) from error

    def _converter(self) -> Callable[[dict[str, Tensor]], Mapping[str, Tensor]]:
        try:
            found = get_object_from_string(self.converter)
        except (ImportError, AttributeError, ValueError):
            found = None
        if not callable(found):
            raise ValueError(
                f"{self.checkpoint}: AdaptedPretrained(converter={self.converter!r}) is no "
                "function: give its full name with its module, such as "
                "'mmdet.models.backbones.swin.swin_converter'."
            )
        return found

    def _read(self) -> dict[str, Tensor]:
        setup_env()
        found = CheckpointLoader.load_checkpoint(
            self.checkpoint, map_location="cpu", logger="silent"
        )
        for key in ("state_dict", "model"):
            if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
                found = found[key]
        weights = _tensors(found)
        if not weights:
            keys = f": its keys are {_beginnings(found)}" if isinstance(found, Mapping) else ""
            raise RuntimeError(
                f"{self.checkpoint}: holds no weights{keys}; expected a dict of tensors, or one "
                "under 'state_dict' or 'model'."
            )
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
        if self.converter:
            weights = dict(self._converter()(weights))
        if not self.prefix:
            return weights
        begin = self.prefix.rstrip(".") + "."
        chosen = {k.removeprefix(begin): v for k, v in weights.items() if k.startswith(begin)}
        if not chosen:
            raise RuntimeError(
                f"{self.checkpoint}: no weight begins with prefix '{begin}'; names begin with "
                f"{_beginnings(weights)}."
            )
        return chosen

    def _fit(
        self, target: nn.Module, weights: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[tuple[int, str]]]:
        """Weights that fit the target, the first convolution adapted, and what to log."""
        expected, name = target.state_dict(), type(target).__name__
        convolutions = _convolutions(target)
        shared = [key for key in expected if key in weights]
        fitting = {k: weights[k] for k in shared if weights[k].shape == expected[k].shape}
        others = [key for key in shared if key not in fitting]
        first = [
            key
            for key in others
            if key in convolutions and _differs_in_inputs(expected[key], weights[key])
        ]
        if len(first) > 1:
            raise RuntimeError(
                f"{self.checkpoint}: {len(first)} weights of {name} differ in their input "
                f"channels, so that none is the first layer: {_shapes(first, expected, weights)}. "
                "Use weights of the same architecture."
            )
        # A later layer of other inputs (more coordinates, say) is no matter of image channels.
        if first != convolutions[:1]:
            first = []
        if not fitting and not first:
            raise RuntimeError(
                f"{self.checkpoint}: not one weight fits {name}. The file's names begin with "
                f"{_beginnings(weights)}, the model's with {_beginnings(expected)} (argument "
                f"prefix); of other shape: {_shapes(others, expected, weights) or 'none'}."
            )
        report = []
        for key in first:
            channels = expected[key].shape[1]
            fitting[key] = adapt_input_channels(weights[key], channels)
            others.remove(key)
            told = f"{key} adapted from {weights[key].shape[1]} to {channels} input channels"
            report.append((logging.INFO, told))
        # mmengine ignores this counter too: BatchNorm works without it.
        missing = [k for k in expected if k not in weights and not k.endswith("batches_tracked")]
        unused = [k for k in weights if k not in expected and not k.startswith(_CLASSIFIERS)]
        report.append((logging.INFO, f"{len(fitting)} of {len(expected)} weights of {name} loaded"))
        for what, keys in (
            ("of another shape, not loaded", others),
            ("not in the file, left as initialised", missing),
            ("of the file not in the model", unused),
        ):
            if keys:
                shapes = _shapes(keys, expected, weights)
                report.append((logging.WARNING, f"{len(keys)} {what}: {shapes}"))
        if doubts := _doubts(expected, fitting, weights):
            text = f"{'; '.join(doubts)}: is the file of the same architecture and depth?"
            report.append((logging.WARNING, text))
        return fitting, report


def _doubts(
    expected: Mapping[str, Tensor], fitting: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> list[str]:
    """What speaks for a file of another network: most weights left out, other numbers of blocks.

    It may be right all the same: a backbone of rearranged blocks takes but a part of a file.
    """
    counted = [key for key in expected if not key.endswith("batches_tracked")]
    loaded = sum(key in fitting for key in counted)
    doubts = []
    if 2 * loaded < len(counted):
        doubts.append(
            f"most weights of the model are not in the file ({loaded} of {len(counted)} fit)"
        )
    given, own = _numbered_blocks(weights), _numbered_blocks(expected)
    doubts += [
        f"{name} has {given[name]} blocks in the file and {count} in the model"
        for name, count in own.items()
        if given.get(name, count) != count
    ][:_SHOWN]
    return doubts


def _numbered_blocks(weights: Iterable[str]) -> dict[str, int]:
    """How many numbered parts each part has: 6 of ``layer3`` for ``layer3.5.conv1.weight``."""
    counts: dict[str, int] = {}
    for key in weights:
        parts = key.split(".")
        for i, part in enumerate(parts[1:], start=1):
            if part.isdecimal():
                name = ".".join(parts[:i])
                counts[name] = max(counts.get(name, 0), int(part) + 1)
    return counts


def adapt_input_channels(weight: Tensor, channels: int) -> Tensor:
    """Change the input channels of a convolution, keeping its response to gray images.

    The kernels of the n old channels are repeated cyclically and scaled by n / ``channels``, so
    that activations keep their size. What that leaves over or short of the old sum over channels
    is shared equally among the new ones: an image of equal channels gets exactly the old response
    (up to rounding) for any number of channels. For 1 channel this is the sum of the kernels, for
    multiples of n plain repetition. The order of colours (BGR or RGB) has no influence on gray
    images; for more channels it only decides which kernel comes first.

    Args:
        weight: (out, n, ...), of any convolution without groups.
        channels: Of the images to come, at least 1.

    Returns:
        (out, channels, ...) in the number type of ``weight``.
    """
    old = weight.shape[1]
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    new = wide[:, torch.arange(channels) % old] * (old / channels)
    rest = wide.sum(1, keepdim=True) - new.sum(1, keepdim=True)
    return (new + rest / channels).to(weight.dtype)


def _convolutions(module: nn.Module) -> list[str]:
    """Names of the kernels (out, in, ...) that see all channels of their input, in order.

    Other parameters of three dimensions and more (positions, tokens, tables of windows) are no
    matter of channels.
    """
    return [
        f"{name}.weight".removeprefix(".")
        for name, part in module.named_modules()
        if isinstance(part, _CONVOLUTIONS) and part.groups == 1
    ]


def _differs_in_inputs(expected: Tensor, given: Tensor) -> bool:
    one, other = list(expected.shape), list(given.shape)
    return len(one) == len(other) and one[:1] + one[2:] == other[:1] + other[2:]


def _initialize_children(module: nn.Module) -> None:
    """What mmengine's ``BaseModule.init_weights`` would do after this initializer.

    It calls only its own ``Pretrained`` after the children; all others come first, and children
    such as ``ConvModule`` would then overwrite what was loaded.
    """
    if not hasattr(module, "_params_init_info"):  # not called from init_weights
        return
    for child in module.children():
        if is_model_wrapper(child) and not hasattr(child, "init_weights"):
            child = child.module
        if hasattr(child, "init_weights") and not getattr(child, "is_init", False):
            child.init_weights()
            update_init_info(child, f"Initialized by `init_weights` of {type(child).__name__}")
            child.is_init = True


def _tensors(found: Any) -> dict[str, Tensor]:
    """The weights of a file; a flat one may have numbers among them, such as the epoch."""
    if not isinstance(found, Mapping) or any(isinstance(v, Mapping) for v in found.values()):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, Tensor)}


def _shapes(
    keys: Iterable[str], expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> str:
    keys = list(keys)
    parts = []
    for key in keys[:_SHOWN]:
        sizes = [str(tuple(d[key].shape)) for d in (weights, expected) if key in d]
        parts.append(f"{key} {' in the file, in the model '.join(sizes)}")
    return ", ".join(parts) + (", ..." if len(keys) > _SHOWN else "")


def _beginnings(weights: Mapping[str, Any]) -> str:
    found = sorted({str(key).split(".")[0] + "." * ("." in str(key)) for key in weights})
    return ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
