"""The models of our configs by name, as mmpretrain has them.

Example:
    >>> list_models("*iaunet*dsb2018*")
    >>> model = get_model("manet_small_1xb8-400i_camvid11-semantic-128x128", "iter_400.pth")
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from torch import device as torch_device
from torch import nn

from attnseg.apis.arguments import argument_errors
from attnseg.apis.command import UsageError, input_errors
from attnseg.apis.experiment import build_config, config_folders
from attnseg.apis.operators import require_operators
from attnseg.engine.checkpoint import load_weights

_INDEX = "model-index.yml"
Patterns = str | Sequence[str]


def list_models(
    pattern: Patterns | None = None,
    exclude_patterns: Patterns | None = None,
    task: str | None = None,
) -> list[str]:
    """Names of our configs, as the model index has them.

    Args:
        pattern: Name with the wildcards ``*``, ``?`` and ``[...]``, or several, of which one has
            to fit; without a wildcard, what a name contains. All if None.
        exclude_patterns: The same, for names to leave out.
        task: ``instance``, ``panoptic``, ``semantic`` or ``refinement``, also in the words of the
            metafiles (``Mask Refinement``).

    Returns:
        The names, sorted.

    Raises:
        UsageError: There is no such task, or the model index is missing.
    """
    entries = _entries()
    if task is not None:
        tasks = sorted({entry["Metadata"]["Task"] for entry in entries})
        wanted = [known for known in tasks if task.lower() in known.lower().split()]
        wanted = [known for known in tasks if task.lower() == known.lower()] or wanted
        if len(wanted) != 1:
            raise UsageError(f"task '{task}' is unknown: expected one of {', '.join(tasks)}.")
        entries = tuple(entry for entry in entries if entry["Metadata"]["Task"] == wanted[0])
    names = {entry["Name"] for entry in entries}
    if pattern is not None:
        names = {name for name in names if _fits(name, pattern)}
    return sorted(name for name in names if not _fits(name, exclude_patterns or ()))


def get_model(
    name: str | Path,
    weights: str | Path | None = None,
    device: str | torch_device | None = None,
    **overrides: Any,
) -> nn.Module:
    """Build a model in eval mode.

    Nothing is downloaded: without ``weights`` all parameters are random, also where the training
    would begin with a backbone of others (``model.init_weights()`` fetches it).

    Args:
        name: One of :func:`list_models`, a file, or ``package::folder/name.py``.
        weights: ``.pth`` or ``.safetensors``; they have to fit completely.
        device: As torch names it; None: the GPU if there is one.
        **overrides: Fields of the config's ``model``, merged into it:
            ``head=dict(num_classes=3)``.

    Returns:
        The model, with ``model.cfg`` and ``model.dataset_meta`` as the functions of mmdet and mmseg
        want them.

    Raises:
        UsageError: No config of this name (proposes near ones), a field or the weights do not fit,
            or there is no such device.
        MissingOperatorError: The model needs an operator of mmcv that is not compiled.
    """
    options = {f"model.{key}": value for key, value in overrides.items()}
    cfg = build_config(name, cfg_options=options, checkpoint=weights)
    if weights is None:
        # What the config would begin a training with is of another task.
        cfg.load_from = None
    # As mmdet's init_detector and mmseg's init_model do, for functions that take their models.
    init_default_scope(_scope(cfg))
    return build_model(cfg, device)


def build_model(cfg: Any, device: str | torch_device | None = None) -> nn.Module:
    """The model of a config with the weights of ``cfg.load_from``; see :func:`get_model`."""
    from mmengine.device import get_device

    if not cfg.get("model"):
        raise UsageError(f"{cfg.filename} has no model: choose a config of list_models().")
    with DefaultScope.overwrite_default_scope(_scope(cfg)), input_errors(), argument_errors(cfg):
        model = MODELS.build(cfg.model)
    device = get_device() if device is None else device
    try:
        model = model.to(device).eval()
    # torch raises an AssertionError where it was built without CUDA.
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device '{device}' cannot be used: {error}") from error
    require_operators(cfg.model, model)
    meta: dict[str, Any] = {}
    if cfg.get("load_from"):
        with input_errors(RuntimeError):
            meta = load_weights(model, cfg.load_from).get("meta") or {}
    model.cfg = cfg
    model.dataset_meta = dict(meta.get("dataset_meta") or _meta_of_data(cfg))
    return model


def _scope(cfg: Any) -> str:
    return cfg.get("default_scope") or "mmdet"


def _meta_of_data(cfg: Any) -> dict[str, Any]:
    """What config and class of the test set say of the classes, without opening it."""
    from mmengine.registry import DATASETS

    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    meta: dict[str, Any] = {}
    if isinstance(dataset.get("type"), str):
        with DefaultScope.overwrite_default_scope(_scope(cfg)):
            kind = DATASETS.get(dataset["type"])
        meta = {key.lower(): value for key, value in getattr(kind, "METAINFO", {}).items()}
    own = dataset.get("metainfo") or {}
    if own.get("classes") is not None:
        # The palette of other classes.
        meta = {}
    return {**meta, **own}


@cache
def _entries() -> tuple[dict[str, Any], ...]:
    """The models of all metafiles that the index names."""
    for folder in config_folders():
        index = folder.parent / _INDEX
        if index.is_file():
            files = [index.parent / name for name in _read(index)["Import"]]
            return tuple(entry for file in files for entry in _read(file)["Models"])
    raise UsageError(f"{_INDEX} not found beside the configs: install attnseg again.")


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _fits(name: str, patterns: Patterns) -> bool:
    given = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, one if set(one) & set("*?[") else f"*{one}*") for one in given)


def is_refinement(cfg: Any) -> bool:
    """Whether a config's model refines strokes."""
    from attnseg.mask_refine import MaskRefinementModel

    kind = (cfg.get("model") or {}).get("type")
    if isinstance(kind, str):
        with DefaultScope.overwrite_default_scope(_scope(cfg)):
            kind = MODELS.get(kind)
    return isinstance(kind, type) and issubclass(kind, MaskRefinementModel)
