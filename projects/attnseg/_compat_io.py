"""Checkpoints: written atomically, read without ever running code from the file."""

import json
import os
import pickle
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from attnseg import _atomic
from attnseg._seal import archive_damage, damage, is_archive, is_sealed, write_sealed

PUBLISHED = "attnseg"
"""Key in the metadata of a safetensors file: JSON with ``dataset_meta`` and where it is from."""

_FIX = (
    "attnseg never runs code out of a checkpoint. If you trust its author, save the weights anew "
    "as plain tensors (torch.save(model.state_dict(), ...)) or as .safetensors."
)


def install_io() -> None:
    """Give mmengine the safe loaders and the atomic local backend."""
    from mmengine.runner import checkpoint

    checkpoint._safe_torch_load = safe_torch_load
    checkpoint.CheckpointLoader.register_scheme("", load_from_local, force=True)
    if not hasattr(checkpoint.load_url, "attnseg_original"):
        checkpoint.load_url = _safe_load_url(checkpoint.load_url)
    _register_atomic_backend()


def safe_torch_load(
    file: Any, map_location: Any = None, weights_only: bool | None = None, *, mmap: bool = False
) -> Any:
    """Read a ``torch.save`` file with tensors and plain values only.

    Same signature as mmengine's ``_safe_torch_load``, which silently falls back
    to full unpickling; ``weights_only=False`` is not honoured here. A sealed file is held against
    its seal first, another archive against its checksums.

    Args:
        file: Path, or file open for reading.
        map_location: As of ``torch.load``.
        weights_only: Taken, and not looked at.
        mmap: Leave tensors in the file until they are used; then neither seal nor
            checksums are looked at.

    Raises:
        RuntimeError: The file is damaged, or needs a class or function that is
            not on the list of harmless ones; names the file.
    """
    import torch

    wrong = None
    if isinstance(file, (str, os.PathLike)) and not mmap:
        sealed = is_sealed(file)
        wrong = damage(file) if sealed else None
        # torch itself compares no checksum: a flipped bit would be a wrong weight.
        if wrong is None and is_archive(file):
            wrong = archive_damage(file, checksums=not sealed)
    if wrong:
        raise RuntimeError(f"{file} {wrong}. Copy it again, or use the checkpoint before it.")
    try:
        with _allowed_globals():
            options: dict[str, Any] = {"mmap": True} if mmap else {}
            return _without_code(
                torch.load(file, map_location=map_location, weights_only=True, **options)
            )
    except OSError:
        raise
    except Exception as error:  # Unpicklers fail at other bytes in more ways than a list can name.
        wanted = _unsupported_global(str(error))
        if wanted is not None:
            raise RuntimeError(
                f"{_file_name(file)}: not a plain weights file: reading it needs '{wanted}'. {_FIX}"
            ) from None
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, LookupError):
            reason = f"{type(error).__name__} {reason}"
        raise RuntimeError(
            f"{_file_name(file)}: damaged or not a checkpoint ({reason}). "
            "Copy it again, or use the checkpoint before it."
        ) from error


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint file: ``.safetensors``, or what ``torch.save`` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: The file is damaged or not plain weights.
    """
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f"{filename}: no such checkpoint file.")
    if not filename.endswith(".safetensors"):
        return safe_torch_load(filename, map_location=map_location)
    from safetensors import SafetensorError, safe_open

    device = map_location if isinstance(map_location, str) else "cpu"
    try:
        with safe_open(filename, framework="pt", device=device) as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            meta = _published_meta((file.metadata() or {}).get(PUBLISHED), filename)
    except SafetensorError as error:
        raise RuntimeError(f"{filename}: not a valid safetensors file ({error}).") from error
    return {"state_dict": weights, "meta": meta}


def _published_meta(text: str | None, filename: str) -> dict[str, Any]:
    """What ``tools/publish.py`` wrote beside the weights, as a checkpoint's ``meta``."""
    try:
        meta = json.loads(text or "{}")
        if not isinstance(meta, dict) or not isinstance(meta.get("dataset_meta", {}), dict):
            raise ValueError("expected an object")
    except (ValueError, RecursionError) as error:
        raise RuntimeError(
            f"{filename}: its metadata '{PUBLISHED}' is damaged ({error})."
        ) from None
    return meta


def _safe_load_url(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap torch's downloader, whose default is full unpickling."""

    def load_url(url: str, *args: Any, **kwargs: Any) -> Any:
        kwargs["weights_only"] = True
        try:
            with _allowed_globals():
                return original(url, *args, **kwargs)
        except pickle.UnpicklingError as error:
            name = _unsupported_global(str(error)) or "something unknown"
            raise RuntimeError(
                f"{url}: not a plain weights file: reading it needs '{name}'. {_FIX}"
            ) from None

    load_url.attnseg_original = original  # type: ignore[attr-defined]
    return load_url


def _history_getattr(owner: Any, name: str) -> Any:
    """``getattr`` as far as a pickled HistoryBuffer needs it: its own statistics."""
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ("min", "max", "current", "mean"):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f"getattr({owner!r:.60}, {name!r:.60}) is not allowed")


# The unpickler of torch looks functions up by this name.
_history_getattr.__module__ = "builtins"
_history_getattr.__name__ = _history_getattr.__qualname__ = "getattr"


def _allowed_globals() -> AbstractContextManager[None]:
    """What a checkpoint of mmengine may hold beyond tensors: numbers, arrays and log histories."""
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    numeric = [type(np.dtype(code)) for code in "?bBhHiIlLqQefd"]
    allowed: list[Any] = [
        slice,
        _history_getattr,
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        np._core.multiarray._reconstruct,
        np._core.multiarray.scalar,
        *numeric,
    ]
    if not hasattr(torch.serialization, "safe_globals"):  # torch 2.4
        torch.serialization.add_safe_globals(allowed)
        return nullcontext()
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version >= (2, 6):
        # numpy 1 and 2 call the same two functions by different names.
        for package in ("numpy.core", "numpy._core"):
            for name in ("_reconstruct", "scalar"):
                allowed.append((getattr(np._core.multiarray, name), f"{package}.multiarray.{name}"))
    return torch.serialization.safe_globals(allowed)


def _without_code(checkpoint: Any) -> Any:
    """Drop the config text that mmengine's ``Runner.resume`` would execute as Python.

    mmengine itself writes ``meta['cfg']``, which resuming leaves alone.
    """
    meta = checkpoint.get("meta") if isinstance(checkpoint, dict) else None
    if isinstance(meta, dict):
        meta.pop("config", None)
    return checkpoint


def _unsupported_global(message: str) -> str | None:
    """The class or function that torch refused to use, from its message."""
    match = re.search(
        r"GLOBAL (\S+) (?:was not an allowed|whose module)|class: (\S+) |"
        r"(getattr\(.+\)) is not allowed",
        message,
    )
    return next(group for group in match.groups() if group) if match else None


def _file_name(file: Any) -> str:
    return os.fspath(file) if isinstance(file, (str, os.PathLike)) else "the checkpoint"


def _register_atomic_backend() -> None:
    """Replace mmengine's ``local`` backend by one whose writes are atomic."""
    from mmengine.fileio import LocalBackend, register_backend
    from mmengine.fileio.backends import backends

    if hasattr(backends["local"], "attnseg_atomic"):
        return

    class AtomicLocalBackend(LocalBackend):
        """Local files; an interrupted write leaves the old file as it was."""

        attnseg_atomic = True

        def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
            with _atomic.replace_file(filepath) as file:
                write_sealed(file, obj)

        def put_text(self, obj: str, filepath: str | os.PathLike, encoding: str = "utf-8") -> None:
            _atomic.write_text(filepath, obj, encoding)

    register_backend("local", AtomicLocalBackend, force=True, prefixes="")
