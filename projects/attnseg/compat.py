"""Every gap of the OpenMMLab stack, closed once (first cut)."""

import importlib.machinery
import importlib.util
import sys
import types
from typing import Any


class _MissingOps(types.ModuleType):
    """Stands in for ``mmcv._ext``: mmdet imports, each operator raises when called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(f"mmcv operator '{name}' is not compiled: run `make ops`.")

        return missing


def setup_env() -> None:
    """Close the gaps; idempotent, called before a config is parsed or mmdet is imported."""
    from mmengine.config import utils

    utils.MODULE2PACKAGE["mmseg"] = "onedl-mmsegmentation"
    utils.MODULE2PACKAGE["attnseg"] = "attnseg"
    if "mmcv._ext" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
        stub = _MissingOps("mmcv._ext")
        stub.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)
        sys.modules["mmcv._ext"] = stub
