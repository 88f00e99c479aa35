"""Old checkpoints go when the new one is there, not before."""

import functools
from collections.abc import Callable
from typing import Any

_METHODS = ("_save_checkpoint_with_step", "_save_best_checkpoint")


def install_checkpoint() -> None:
    """Have mmengine's CheckpointHook remove files after it has saved.

    It makes room first: killed in between, a run that keeps one checkpoint has none.
    """
    from mmengine.hooks import CheckpointHook

    for name in _METHODS:
        method = getattr(CheckpointHook, name)
        if not hasattr(method, "attnseg_original"):
            setattr(CheckpointHook, name, _removing_last(method))


class _Postponed:
    """A file backend that keeps what it should remove for later."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.removals: list[tuple[Callable[[Any], None], Any]] = []

    def remove(self, path: Any) -> None:
        self.removals.append((self._backend.remove, path))

    def rmtree(self, path: Any) -> None:
        self.removals.append((self._backend.rmtree, path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _removing_last(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def save(self: Any, runner: Any, *args: Any, **kwargs: Any) -> Any:
        backend = getattr(self, "file_backend", None)
        if backend is None:  # a validation without a training
            return original(self, runner, *args, **kwargs)
        self.file_backend = postponed = _Postponed(backend)
        try:
            result = original(self, runner, *args, **kwargs)
        finally:
            self.file_backend = backend
        # Saved anew under the same name, as after a resumed training's repeated validation.
        best = getattr(self, "best_ckpt_path_dict", None) or {}
        kept = {self.last_ckpt, getattr(self, "best_ckpt_path", None), *best.values()}
        for remove, path in postponed.removals:
            if path not in kept:
                remove(path)
        return result

    save.attnseg_original = original  # type: ignore[attr-defined]
    return save
