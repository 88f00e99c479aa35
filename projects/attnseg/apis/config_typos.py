"""Keys of an override that exist nowhere in its base and that no class takes: likely typos."""

import difflib
import inspect
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from attnseg.apis.config_lines import Source
from attnseg.apis.config_sources import (
    OPTIONS,
    Keys,
    Layer,
    Sources,
    nested_options,
    read_sources,
)
from attnseg.apis.options import RUNNER_KEYS

_MERGE_KEYS = frozenset({"_delete_", "_scope_", "type"})
# Where a new name without a class is refused only if a known name is this near.
_NEAR = 0.7
# Dicts that mmengine reads without a class of their own: dotted key -> names.
_SCHEMAS: dict[str, tuple[str, ...]] = {
    "env_cfg": ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"),
    "env_cfg.mp_cfg": ("mp_start_method", "opencv_num_threads"),
    "randomness": ("seed", "diff_rank_seed", "deterministic"),
    "auto_scale_lr": ("enable", "base_batch_size"),
    "optim_wrapper.paramwise_cfg": (
        *("custom_keys", "base_lr", "base_wd", "lr_mult", "decay_mult", "bias_lr_mult"),
        *("bias_decay_mult", "norm_decay_mult", "dwconv_decay_mult", "dcn_offset_lr_mult"),
        *("flat_decay_mult", "bypass_duplicate", "decay_rate", "decay_type", "num_layers"),
    ),
}
# Classes that mmengine takes where a dict names none.
_DEFAULT_TYPES = {
    "train_cfg": ("EpochBasedTrainLoop", "IterBasedTrainLoop"),
    "val_cfg": ("ValLoop",),
    "test_cfg": ("TestLoop",),
    "optim_wrapper": ("OptimWrapper", "AmpOptimWrapper"),
    "log_processor": ("LogProcessor",),
}
# What the builders take out of a dict before its class sees it.
_TAKEN = {
    "train_cfg": ("by_epoch",),
    "val_cfg": ("fp16",),
    "test_cfg": ("fp16",),
    "optim_wrapper": ("optimizer", "constructor", "paramwise_cfg"),
    "hook": ("priority",),
    "param_scheduler": ("convert_to_iter_based",),
}
_LOADER = (
    *("dataset", "sampler", "batch_sampler", "collate_fn", "worker_init_fn"),
    *("num_batch_per_epoch",),
)


@dataclass(frozen=True)
class Typo:
    """A key that nothing seems to read.

    Attributes:
        file: Short name of the file, or ``--cfg-options``.
        key: Dotted.
        nearest: The known name most like it; empty if none is.
        line: Of the key; None where it is unknown.
    """

    file: str
    key: str
    nearest: str = ""
    line: int | None = None

    @property
    def message(self) -> str:
        """One line for a log."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        fix = f" Did you mean {self.nearest}?" if self.nearest else ""
        return f"{where}: '{self.key}' is not in the base, and nothing known reads it.{fix}"


def warn_of_typos(path: str | Path, options: Mapping[str, Any] | None = None) -> None:
    """Log a warning for each likely typo of a config and its options; never fails.

    On the first process only, and before the runner's own log file is open.
    """
    from mmengine.logging import print_log

    # No group of processes is there yet, whose rank print_log would go by.
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0":
        return
    try:
        messages = [typo.message for typo in find_typos(read_sources(path, options))]
    # A check that helps must not be what ends a run of days; the config itself was read before.
    except Exception as error:
        print_log(f"config not checked for typos: {error}", "current", logging.DEBUG)
        return
    for message in messages:
        print_log(message, "current", logging.WARNING)


def find_typos(sources: Sources) -> list[Typo]:
    """Likely typos of all files of a chain that have bases, and of the options.

    A new key is right where its dict's class takes it (a parameter of the class, or of a base
    class while ``**kwargs`` pass it on), where the dict replaces another (``_delete_``, another
    ``type``), or, at the top level, where a runner or a file of the chain reads the name. In a
    dict without a class, a new key counts only if a present name is nearly the same.
    """
    used = {name for layer in sources.layers for name in layer.source.used}
    scope = sources.config.get("default_scope")
    found: dict[tuple[str, object, str], Typo] = {}
    for layer in sources.layers:
        if layer.base:
            for keys, nearest in _Check(layer, used, scope).typos():
                key, line = ".".join(keys), layer.source.place(keys).line
                # Two loaders may share one value, and a chain one file.
                same = (layer.file, line or key, keys[-1])
                found.setdefault(same, Typo(layer.file, key, nearest, line))
    return list(found.values())


def find_option_typos(cfg: Any, options: Mapping[str, Any]) -> list[Typo]:
    """Likely typos of options alone, by the rules of :func:`find_typos`.

    Args:
        cfg: The resolved ``mmengine.Config`` that they will be merged into.
        options: Dotted keys -> values.
    """
    layer = Layer(OPTIONS, nested_options(options), dict(cfg.items()), Source(""))
    check = _Check(layer, set(), cfg.get("default_scope"))
    return [Typo(OPTIONS, ".".join(keys), nearest) for keys, nearest in check.typos()]


@dataclass(frozen=True)
class _Check:
    layer: Layer
    used: set[str]
    scope: str | None

    def typos(self) -> Iterator[tuple[Keys, str]]:
        own, base = self.layer.own, self.layer.base
        for name, value in own.items():
            if name in base:
                yield from self._inside(value, base[name], (name,))
            elif name in RUNNER_KEYS:
                yield from self._inside(value, None, (name,))
            elif name not in self.used:
                near = _nearest(name, (RUNNER_KEYS | set(base)) - set(own))
                # A variable for the files that inherit this one is none, unless it looks like one.
                if near and not name.startswith("_"):
                    yield (name,), near

    def _inside(self, own: Any, base: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:
        if isinstance(own, (list, tuple)):
            for index, item in enumerate(own):
                yield from self._inside(item, None, (*keys, str(index)))
        if not isinstance(own, Mapping):
            return
        if isinstance(base, (list, tuple)):
            items = {str(index): item for index, item in enumerate(base)}
            for name, value in own.items():
                yield from self._inside(value, items.get(name), (*keys, name))
            return
        known: Mapping[str, Any] = base if isinstance(base, Mapping) else {}
        if own.get("_delete_") or own.get("type", known.get("type")) != known.get("type"):
            known = {}
        new = [name for name in own if name not in known and name not in _MERGE_KEYS]
        if new:
            yield from self._new(new, own, known, keys)
        for name, value in own.items():
            yield from self._inside(value, known.get(name), (*keys, str(name)))

    def _new(
        self, new: list[str], own: Mapping[str, Any], known: Mapping[str, Any], keys: Keys
    ) -> Iterator[tuple[Keys, str]]:
        names, closed = self._names({**known, **own}, keys)
        names |= {str(name) for name in known}
        for name in map(str, new):
            if name in names:
                continue
            near = _nearest(name, names - set(own)) or _nearest(name, names)
            if closed or near:
                yield (*keys, name), near

    def _names(self, part: Mapping[str, Any], keys: Keys) -> tuple[set[str], bool]:
        """What a dict may hold, and whether that is all."""
        key = ".".join(keys)
        if key in _SCHEMAS:
            return set(_SCHEMAS[key]), True
        kind = part.get("type")
        kinds = (kind,) if kind is not None else _DEFAULT_TYPES.get(key, ())
        if isinstance(kind, (list, dict)):
            return set(), False
        taken = {*_TAKEN.get(keys[0], ()), *(_TAKEN["hook"] if "hooks" in keys[0] else ())}
        if keys[-1].endswith("norm_cfg"):
            taken.add("requires_grad")
        if keys[-1] == "upsample_cfg":
            # Read by the mask head, which makes kernel and stride of it.
            taken.add("scale_factor")
        if keys[-1].endswith("_dataloader") and len(keys) == 1:
            from torch.utils.data import DataLoader

            return {*inspect.signature(DataLoader).parameters, *_LOADER}, True
        scope = part.get("_scope_") or self.scope
        results = [_arguments(kind, scope) for kind in kinds]
        if not results or any(result is None for result in results):
            return set(), False
        names = {name for result in results if result for name in result[0]}
        return names | taken, all(result[1] for result in results if result)


@lru_cache(maxsize=4096)
def _arguments(kind: Any, scope: str | None) -> tuple[frozenset[str], bool] | None:
    """Parameters of the classes of a name, and whether they are all; None if there is no class."""
    from mmengine.registry import root

    classes = [kind] if not isinstance(kind, str) else []
    if not classes:
        # Part of a config, such as a data set file, does not say where it will be used.
        scopes = (scope,) if scope else ("mmdet", "mmseg")
        names = [kind] if "." in kind else [*(f"{name}.{kind}" for name in scopes), kind]
        # mmdet prints what it cannot import, which is no part of what a command prints.
        with redirect_stdout(sys.stderr):
            found = [registry.get(name) for registry in _registries(root) for name in names]
        classes = [item for item in found if item is not None]
    if not classes:
        return None
    both = [_parameters(item) for item in classes]
    return frozenset().union(*(names for names, _ in both)), all(closed for _, closed in both)


def _registries(root: Any) -> Iterable[Any]:
    from mmengine.registry import Registry

    return [item for item in vars(root).values() if isinstance(item, Registry)]


def _parameters(built: Any) -> tuple[frozenset[str], bool]:
    """Parameters of a class and, while one passes ``**kwargs`` on, of its base classes."""
    kinds = built.__mro__[:-1] if inspect.isclass(built) else (built,)
    names: set[str] = set()
    for kind in kinds:
        if inspect.isclass(kind) and "__init__" not in vars(kind):
            continue
        try:
            parameters = inspect.signature(
                vars(kind)["__init__"] if inspect.isclass(kind) else kind
            ).parameters.values()
        except (TypeError, ValueError):
            return frozenset(names), False
        own = {item.name for item in parameters if item.kind not in (2, 4)}
        names |= own - {"self"}
        if not any(item.kind is item.VAR_KEYWORD for item in parameters):
            return frozenset(names), True
    return frozenset(names), False


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(map(str, names)), n=1, cutoff=_NEAR)
    return near[0] if near else ""
