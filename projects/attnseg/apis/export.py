"""ONNX files of a model's raw outputs: all heads, without pre- and post-processing."""

import importlib
import inspect
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attnseg._atomic import write_bytes
from attnseg.apis.benchmark_inputs import without_weights
from attnseg.apis.command import UsageError, input_errors
from attnseg.apis.experiment import build_config
from attnseg.engine.forward import raw_forward

INPUT = "image"
# The newest that torch 2.4 writes; it has the layer norm as one operator.
_OPSET = 17
# Largest error, as a share of the largest output, that is rounding.
_TOLERANCE = 1e-3


class Check(NamedTuple):
    """How far onnxruntime is from torch on random input.

    Attributes:
        shape: Of the input, (B, C, H, W).
        error: Largest absolute difference of any output.
        scale: Largest absolute value of that output.
    """

    shape: tuple[int, int, int, int]
    error: float
    scale: float


class RawOutputs(nn.Module):
    """A model as a function of one normalised image batch (B, C, H, W), for exporters.

    Args:
        model: A detector, a segmentor, or a model of mask refinement, in eval mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        from attnseg.mask_refine import MaskRefinementModel

        self.model = model
        self.refines = isinstance(model, MaskRefinementModel)

    def forward(self, image: Tensor) -> Any:
        """The outputs of all heads, in the model's own structure."""
        if self.refines:
            return self.model({"features": image})
        return raw_forward(self.model, image, None)

    @property
    def channels(self) -> int:
        """Channels of the input."""
        preprocessor = self.model.data_preprocessor
        mean = getattr(preprocessor, "mean", None)
        known = getattr(preprocessor, "num_channels", None)
        return known or (3 if mean is None else len(mean))


def export_onnx(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    shape: Sequence[int] | None = None,
    dynamic: bool = False,
    check: bool = True,
    cfg_options: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Write a model with its weights as ONNX, and compare it with torch.

    The input is what the model's preprocessor gives: a normalised float batch (B, C, H, W).

    Args:
        config: See :func:`attnseg.apis.experiment.find_config`.
        checkpoint: Its weights.
        out: The ``.onnx`` file; an older one is replaced if all went well.
        shape: Height and width; those of the config's test set if None.
        dynamic: Any batch, height and width, in place of one image of that size.
        check: Compare with torch, in onnxruntime: at that size, and with ``dynamic`` at another,
            that is not square.
        cfg_options: Dotted keys -> values, which change the config.

    Returns:
        One entry for each size compared.

    Raises:
        UsageError: onnx or onnxruntime is missing, the weights do not fit, the model cannot be
            exported, or its outputs differ; then no file is written.
    """
    _require("onnx", *(["onnxruntime"] if check else []))
    cfg = build_config(config, checkpoint=checkpoint, cfg_options=cfg_options)
    size = _size(shape) if shape is not None else _test_size(cfg)
    network = RawOutputs(_model(cfg)).eval()
    data = onnx_bytes(network, size, dynamic)
    checks = []
    for batch, height, width in ((1, *size), *([(2, *_other(size))] if dynamic else [])):
        if check:
            checks.append(compare(network, data, (batch, network.channels, height, width)))
    for found in checks:
        if not found.error <= _TOLERANCE * max(found.scale, 1.0):
            raise UsageError(
                f"{cfg.filename}: onnxruntime is {found.error:.3g} from torch at "
                f"{'x'.join(map(str, found.shape))}, where outputs reach {found.scale:.3g}; "
                f"{out} is not written."
            )
    with input_errors(OSError):
        write_bytes(out, data)
    return checks


def onnx_bytes(network: RawOutputs, size: tuple[int, int], dynamic: bool) -> bytes:
    """The content of an ONNX file.

    By torch's exporter of traced graphs, which needs neither onnxscript nor minutes: see
    docs/publish.md.

    Raises:
        UsageError: The model has something that ONNX lacks.
    """
    # Two images, so that nothing takes the batch for a constant.
    image = torch.randn(2 if dynamic else 1, network.channels, *size)
    with torch.no_grad():
        outputs = dict(named_tensors(network(image)))
    options: dict[str, Any] = {"opset_version": _OPSET, "input_names": [INPUT]}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:  # torch 2.4 has one exporter
        options["dynamo"] = False
    if dynamic:
        options["dynamic_axes"] = {
            INPUT: {0: "batch", 2: "height", 3: "width"},
            **_moving_axes(network, outputs, size),
        }
    buffer = io.BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Of sizes in Python that a trace keeps; those that matter would fail the comparison.
            warnings.simplefilter("ignore")
            torch.onnx.export(network, (image,), buffer, output_names=list(outputs), **options)
    except Exception as error:  # torch's exporter has no common class of its errors
        reason = str(error).splitlines()[0] if str(error) else ""
        kind = type(network.model).__name__
        raise UsageError(
            f"{kind} cannot be exported to ONNX ({type(error).__name__}: {reason})."
        ) from error
    return buffer.getvalue()


def compare(network: RawOutputs, data: bytes, shape: tuple[int, int, int, int]) -> Check:
    """Run both on the same random input; the output that differs most, by its own scale."""
    import onnxruntime

    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = [value for _, value in named_tensors(network(image))]
    found = session.run(None, {INPUT: image.numpy()})
    checks = [
        Check(shape, float((a - torch.from_numpy(b)).abs().max()), float(a.abs().max()))
        for a, b in zip(expected, found, strict=True)
    ]
    return max(checks, key=lambda check: check.error / max(check.scale, 1e-12))


def named_tensors(outputs: Any, name: str = "output") -> Iterator[tuple[str, Tensor]]:
    """Tensors of a nested output, and a name for each: fields, keys and indices, joined."""
    if isinstance(outputs, Tensor):
        yield name, outputs
        return
    if isinstance(outputs, Mapping):
        items = list(outputs.items())
    elif hasattr(outputs, "_fields"):
        items = list(zip(outputs._fields, outputs, strict=True))
    else:
        items = list(enumerate(outputs))
    for key, value in items:
        # A list of one level, as IAUNet's without deep supervision, says nothing.
        yield from named_tensors(value, name if len(items) == 1 else f"{name}_{key}")


def _moving_axes(
    network: RawOutputs, outputs: Mapping[str, Tensor], size: tuple[int, int]
) -> dict[str, dict[int, str]]:
    """Axes of the outputs that follow the input: those that another input changes."""
    with torch.no_grad():
        other = dict(named_tensors(network(torch.randn(3, network.channels, *_other(size)))))
    return {
        name: {
            axis: f"{name}_{axis}" if axis else "batch"
            for axis, length in enumerate(value.shape)
            if other[name].shape[axis] != length
        }
        for name, value in outputs.items()
    }


def _other(size: tuple[int, int]) -> tuple[int, int]:
    """Another size, of the same parts of 32 and not square."""
    height, width = (-(-side // 32) * 32 for side in size)
    return height + 32, width + 96


def _model(cfg: Any) -> nn.Module:
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, init_default_scope

    from attnseg.engine.checkpoint import load_weights

    init_default_scope(cfg.get("default_scope") or "mmengine")
    with input_errors(RuntimeError, KeyError, TypeError):
        model = MODELS.build(without_weights(cfg.model))
        load_weights(model, cfg.load_from)
    return revert_sync_batchnorm(model).eval()


def _require(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise UsageError(
                f"{package} is needed and cannot be imported ({error}): pip install {package}."
            ) from error


def _size(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise UsageError(f"--shape {' '.join(map(str, shape))}: expected height and width.")
    return int(shape[0]), int(shape[1])


def _test_size(cfg: Any) -> tuple[int, int]:
    """Height and width that the config's test set gives the model."""
    windows = ((cfg.model.get("test_cfg") or {}).get("windows") or {}).get("size")
    if windows:
        return _size(windows)
    loader = cfg.get("test_dataloader") or {}
    for step in (loader.get("dataset") or {}).get("pipeline") or ():
        if isinstance(step.get("scale"), (tuple, list)):  # width and height
            return _size(step["scale"][::-1])
        if isinstance(step.get("size"), (tuple, list)):
            return _size(step["size"])
    raise UsageError(f"{cfg.filename}: its test set has no one size; give --shape HEIGHT WIDTH.")
