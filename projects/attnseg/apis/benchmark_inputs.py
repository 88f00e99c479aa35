"""Models without weights and random inputs: all that a benchmark needs of a config."""

from collections.abc import Callable
from typing import Any

from attnseg.apis.command import UsageError

_WEIGHTS = ("init_cfg", "pretrained")


def read_model(config: str) -> Any:
    """The model section of a config, without pretrained weights; no data set is touched.

    Args:
        config: As for :func:`attnseg.apis.experiment.find_config`.

    Raises:
        UsageError: There is no such config, or it describes no model.
    """
    from mmengine.config import ConfigDict

    from attnseg.apis.command import input_errors
    from attnseg.apis.experiment import find_config
    from attnseg.apis.json_config import read_config

    path = find_config(config)
    with input_errors():
        cfg = read_config(path)
    if not cfg.get("model"):
        raise UsageError(f"{path} has no 'model' to measure.")
    model = without_weights(cfg.model)
    if cfg.get("data_preprocessor") and not model.get("data_preprocessor"):
        model["data_preprocessor"] = cfg.data_preprocessor
    return ConfigDict(model), cfg.get("default_scope") or "mmengine"


def without_weights(value: Any) -> Any:
    """A copy of a config in which nothing names weights to load."""
    if isinstance(value, dict):
        return {k: None if k in _WEIGHTS else without_weights(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(without_weights(item) for item in value)
    return value


def build_model(config: str) -> Any:
    """Build a config's model in eval mode with random weights, the same in each call.

    Raises:
        UsageError: As for :func:`read_model`.
    """
    import torch
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, init_default_scope

    model, scope = read_model(config)
    init_default_scope(scope)
    torch.manual_seed(0)
    # Synchronised normalisation needs processes to synchronise with.
    return revert_sync_batchnorm(MODELS.build(model)).eval()


def make_pass(
    model: Any, mode: str, shape: tuple[int, int], batch: int, device: str
) -> Callable[[Any], Any]:
    """A function that runs the model on random images, as they leave the preprocessor.

    Args:
        model: A detector or segmentor.
        mode: ``tensor`` for the raw outputs of all heads, ``predict`` with post-processing.
        shape: Height and width in pixels.
        batch: Images.
        device: ``cpu`` or ``cuda``.
    """
    import torch

    from attnseg.engine.forward import raw_forward

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, *shape, generator=generator).to(device)
    make = _sample_class(model)
    samples = [make(metainfo=_meta(shape, index)) for index in range(batch)]
    if mode == "tensor":
        return lambda network: raw_forward(network, images, samples)
    return lambda network: network(images, samples, mode="predict")


def _sample_class(model: Any) -> Any:
    from mmdet.structures import DetDataSample
    from mmseg.models import BaseSegmentor
    from mmseg.structures import SegDataSample

    return SegDataSample if isinstance(model, BaseSegmentor) else DetDataSample


def _meta(shape: tuple[int, int], index: int) -> dict[str, Any]:
    same = dict.fromkeys(("img_shape", "ori_shape", "pad_shape", "batch_input_shape"), shape)
    padding = {"padding_size": [0, 0, 0, 0], "img_padding_size": [0, 0, 0, 0]}
    image = {"img_id": index, "img_path": "", "scale_factor": (1.0, 1.0), "flip": False}
    return {**same, **padding, **image, "flip_direction": None}
