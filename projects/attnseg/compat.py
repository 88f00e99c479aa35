"""Every gap of the OpenMMLab stack, closed once.

``setup_env`` is called by every tool before a config is parsed or mmdet is
imported. Importing this module costs nothing; the gaps are closed on the call.
"""

import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attnseg._compat_dist import in_group, leave_group, set_run_folder

__all__ = [
    "MissingOperatorError",
    "id2rgb",
    "in_group",
    "leave_group",
    "operators_compiled",
    "rgb2id",
    "set_run_folder",
    "setup_env",
]

# Part of an operator's name -> who needs it; the first that fits is printed.
_OPERATOR_USERS = {
    "ms_deform_attn": "deformable transformers such as Mask2Former and Deformable DETR",
    "deform": "networks with deformable convolutions",
    "nms": "box-based models such as Mask R-CNN and RTMDet-Ins",
    "roi": "two-stage models such as Mask R-CNN and Cascade R-CNN",
    "border_align": "BorderDet",
    "carafe": "models with CARAFE upsampling",
    "psamask": "PSANet",
    "ca_": "CCNet",
    "sigmoid_focal_loss": "models trained with mmcv's focal loss, such as RetinaNet and SOLOv2",
    "pool_": "corner-based models such as CornerNet",
}


def setup_env() -> None:
    """Close the gaps between mmengine, mmcv, mmdet, mmseg and this package; idempotent.

    - ``_base_ = 'mmseg::...'`` and ``'attnseg::...'`` are found;
    - mmdet imports without mmcv's compiled operators and without panopticapi;
    - a bare ``LoadImageFromFile`` reads deep images and channels as our data sets do, also in
      mmdet's and mmseg's inferencers;
    - launching and SyncBatchNorm work on nodes without CUDA;
    - results are collected in the run folder;
    - checkpoints are written atomically with a seal, read without running code from them, and an
      old one is removed only when the new one is there.

    Raises:
        ModuleNotFoundError: mmengine or mmcv is not installed; says how to install them.
    """
    for module in ("mmengine", "mmcv"):
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(
                f"{module} is not installed. Run `pip install onedl-{module}`, or `make test` in "
                "a checkout, which installs everything."
            )
    from attnseg._compat_checkpoint import install_checkpoint
    from attnseg._compat_dist import install_dist
    from attnseg._compat_io import install_io
    from attnseg._compat_sync_bn import install_sync_bn

    _register_packages()
    _stub_operators()
    _stub_panopticapi()
    _register_loader()
    install_dist()
    install_sync_bn()
    install_io()
    install_checkpoint()


def rgb2id(color: Any) -> Any:
    """Segment ids of COCO panoptic colours, ``R + 256 G + 65536 B``.

    Args:
        color: (H, W, 3) array in RGB order with values 0..255, or three numbers.

    Returns:
        (H, W) int32 array for an array, an int for three numbers.

    Raises:
        ValueError: The last axis is not of size 3.
    """
    import numpy as np

    values = np.asarray(color)
    if values.ndim == 0 or values.shape[-1] != 3:
        raise ValueError(f"expected (..., 3) RGB values, got shape {values.shape}.")
    values = values.astype(np.int32)
    ids = values[..., 0] + 256 * values[..., 1] + 65536 * values[..., 2]
    return int(ids) if ids.ndim == 0 else ids


def id2rgb(ids: Any) -> Any:
    """COCO panoptic colours of segment ids; the inverse of :func:`rgb2id`.

    Args:
        ids: (H, W) integer array or one integer, values 0..2**24 - 1.

    Returns:
        (H, W, 3) uint8 array in RGB order for an array, ``[r, g, b]`` for one integer.

    Raises:
        ValueError: An id does not fit into 24 bits.
    """
    import numpy as np

    values = np.asarray(ids)
    if values.size and (values.min() < 0 or values.max() >= 1 << 24):
        raise ValueError(
            f"segment ids must be in 0..{(1 << 24) - 1}, got {values.min()}..{values.max()}."
        )
    values = values.astype(np.int64)
    rgb = np.stack([values & 255, (values >> 8) & 255, values >> 16], axis=-1).astype(np.uint8)
    return rgb.tolist() if values.ndim == 0 else rgb


def _register_packages() -> None:
    """Name the distributions behind ``mmseg::`` and ``attnseg::``; mmengine knows neither."""
    from mmengine.config import Config, utils

    if not hasattr(Config._get_cfg_path, "attnseg_original"):
        Config._get_cfg_path = staticmethod(_without_own_scope(Config._get_cfg_path))
    utils.MODULE2PACKAGE["attnseg"] = "attnseg"
    for distribution in ("onedl-mmsegmentation", "mmsegmentation"):
        try:
            importlib.metadata.distribution(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        utils.MODULE2PACKAGE["mmseg"] = distribution
        return


def _register_loader() -> None:
    """Put our reader of ``LoadImageFromFile`` in the place of mmcv's.

    mmcv's divides deep images by 256 and gives black for channels and stacks, without a word.
    mmdet's and mmseg's inferencers build it by name, past the data sets that know better.
    """
    import mmcv.transforms  # noqa: F401  It registers its own, once.
    from mmengine.registry import TRANSFORMS

    TRANSFORMS.register_module("LoadImageFromFile", force=True, module=load_image_from_file)


def load_image_from_file(**arguments: Any) -> Any:
    """``attnseg.LoadImage`` without arguments, mmcv's ``LoadImageFromFile`` with any.

    The rule of our data sets (:func:`attnseg.datasets.mixin.own_loader`). Files of 8 bits and 1, 3
    or 4 channels are read alike by both, but that ours does not turn them as EXIF says.
    """
    if arguments:
        from mmcv.transforms import LoadImageFromFile

        return LoadImageFromFile(**arguments)
    from attnseg.registry import TRANSFORMS

    # Whose sizes are to be checked is left to the data sets.
    return TRANSFORMS.build({"type": "attnseg.LoadImage", "check_sizes": False})


def forget_runs() -> None:
    """Let the next run of this process have a log, a message hub and pictures of its own.

    mmengine keeps them by a name made of the config's and the second of the start, and the
    visualizers of mmdet and mmseg by one fixed name: a run soon after another, or any later one,
    would write into the folder of the first. Runners that are still held keep theirs.
    """
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.visualization import Visualizer

    kinds = [MMLogger, MessageHub, Visualizer]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
        kind._instance_dict.clear()


class MissingOperatorError(RuntimeError):
    """An operator of mmcv was called that is not compiled; the message names the remedy."""


def operators_compiled() -> bool:
    """Whether mmcv has its compiled operators, rather than our stand-in."""
    return not isinstance(sys.modules.get("mmcv._ext"), _MissingOperators)


class _MissingOperators(types.ModuleType):
    """Stands in for ``mmcv._ext``: mmdet imports, and each operator raises when called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            users = (text for part, text in _OPERATOR_USERS.items() if part in name)
            raise MissingOperatorError(
                f"mmcv operator '{name}' is not compiled; "
                f"{next(users, 'some models of mmdet and mmseg')} need it: run `make ops`."
            )

        return missing


def _stub_operators() -> None:
    if "mmcv._ext" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
        _add_module(_MissingOperators("mmcv._ext"))


def _without_own_scope(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keep mmengine from looking up everything in an ``attnseg::`` config in our registries.

    Our configs write ``attnseg.X`` for what is ours; names without a prefix are those of the
    ``default_scope``, mmdet's or mmseg's.
    """

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = original(cfg_path, filename)
        return path, None if scope == "attnseg" else scope

    get_cfg_path.attnseg_original = original  # type: ignore[attr-defined]
    return get_cfg_path


def _stub_panopticapi() -> None:
    """Provide the few functions of panopticapi that mmdet's loader, inferencer and converters use.

    ``panopticapi.evaluation`` has the void id, which the inferencer needs, and no ``PQStat``, so
    that mmdet's own metric says that it lacks panopticapi: we compute PQ ourselves, and half of
    a metric would be worse than none.
    """
    if "panopticapi" in sys.modules or importlib.util.find_spec("panopticapi") is not None:
        return
    package = types.ModuleType("panopticapi", "Stand-in of attnseg: what mmdet uses.")
    package.__path__ = []
    utils = types.ModuleType("panopticapi.utils")
    for item in (rgb2id, id2rgb, IdGenerator, save_json):
        setattr(utils, item.__name__, item)
    evaluation = types.ModuleType("panopticapi.evaluation")
    evaluation.VOID = 0  # type: ignore[attr-defined]
    package.utils = utils  # type: ignore[attr-defined]
    package.evaluation = evaluation  # type: ignore[attr-defined]
    for module in (package, utils, evaluation):
        _add_module(module)


def _add_module(module: types.ModuleType) -> None:
    # mmengine's environment report and importlib ask for the spec.
    is_package = hasattr(module, "__path__")
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None, is_package=is_package)
    sys.modules[module.__name__] = module


class IdGenerator:
    """Unique panoptic ids and colours: the category's own for stuff, a free one per thing.

    Args:
        categories: Category id -> category with ``isthing`` (0 or 1) and ``color`` (RGB).
    """

    _STRIDE = 0x09_2F_35  # odd, so that all 2**24 colours are visited

    def __init__(self, categories: Mapping[int, Mapping[str, Any]]) -> None:
        self.categories = categories
        self._taken = {0} | {
            rgb2id(category["color"]) for category in categories.values() if not category["isthing"]
        }

    def get_id(self, category_id: int) -> int:
        """A segment id for one more object, or the id of a stuff category."""
        category = self.categories[category_id]
        segment_id = rgb2id(category["color"])
        if not category["isthing"]:
            return segment_id
        while segment_id in self._taken:
            segment_id = (segment_id + self._STRIDE) % (1 << 24)
        self._taken.add(segment_id)
        return segment_id

    def get_color(self, category_id: int) -> list[int]:
        """As :meth:`get_id`, as RGB."""
        return id2rgb(self.get_id(category_id))

    def get_id_and_color(self, category_id: int) -> tuple[int, list[int]]:
        """As :meth:`get_id`, together with its RGB colour."""
        segment_id = self.get_id(category_id)
        return segment_id, id2rgb(segment_id)


def save_json(value: Any, path: str | Path) -> None:
    """Write a JSON file atomically."""
    from attnseg._atomic import write_json

    write_json(path, value, indent=None)
