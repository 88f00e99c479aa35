"""What sits on top: commands as functions. These are loaded when they are asked for."""

from importlib import import_module
from typing import Any

_PLACES = {
    "Segmenter": "segmenter",
    "get_model": "models",
    "list_models": "models",
    "segment": "segmenter",
}
__all__ = ["Segmenter", "get_model", "list_models", "segment"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from attnseg.compat import setup_env

    # mmdet imports without compiled operators only after this.
    setup_env()
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
