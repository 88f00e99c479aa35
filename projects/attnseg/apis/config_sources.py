"""Which file of an inheritance chain sets each key of a config, and what it overrides.

mmengine merges the files of a chain without leaving a trace. :func:`read_sources` reads each file
with mmengine's own functions and repeats the merge, which a test compares with
``Config.fromfile`` for every config of the project.
"""

import copy
import os
import tempfile
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnseg.apis.config_lines import Place, Source
from attnseg.errors import InputError

Keys = tuple[str, ...]
OPTIONS = "--cfg-options"


@dataclass(frozen=True)
class Origin:
    """One step in the life of a key.

    Attributes:
        file: See :func:`short_name`; ``--cfg-options`` for the command line.
        value: What the key was set to; None if it was removed.
        line: Counted from 1; None where it is unknown.
        expression: The code that gave the value, unless it is a literal.
        references: Where values read from the bases come from, as ``key (file:line)``.
        removed: ``_delete_`` or ``replaced``, where this step dropped the key; else empty.
    """

    file: str
    value: Any
    line: int | None = None
    expression: str = ""
    references: tuple[str, ...] = ()
    removed: str = ""

    @property
    def where(self) -> str:
        """``file:line``."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass
class Layer:
    """A file of the chain, or the options of the command line.

    Attributes:
        file: Short name.
        own: What the file itself says, with ``_delete_``.
        base: What it is merged into: all its bases together.
        source: The text.
    """

    file: str
    own: dict[str, Any]
    base: dict[str, Any]
    source: Source


@dataclass
class Sources:
    """A resolved config with the history of its keys.

    Attributes:
        config: As ``Config.fromfile`` gives it, with the options merged.
        chain: Keys -> steps, the oldest first; also of keys that were removed again.
        layers: The files, bases first, each once per inheritance; then the options.
        removed: Keys that some file dropped and none set again.
    """

    config: dict[str, Any]
    chain: dict[Keys, list[Origin]] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)

    @property
    def removed(self) -> dict[Keys, list[Origin]]:
        """Keys that some file dropped and none set again."""
        return {keys: steps for keys, steps in self.chain.items() if steps[-1].removed}

    def of(self, keys: Keys) -> list[Origin]:
        """History of a key; inside a list that was set as a whole, that of the list.

        mmengine's own ``_scope_`` marks, which no file sets, have that of their ``type``.
        """
        if keys and keys[-1] == "_scope_" and keys not in self.chain:
            keys = (*keys[:-1], "type")
        for length in range(len(keys), 0, -1):
            steps = self.chain.get(keys[:length])
            if steps and not steps[-1].removed:
                if length == len(keys):
                    return steps
                return self.items(steps, keys, length) or steps[-1:]
        return []

    def items(self, steps: list[Origin], keys: Keys, length: int) -> list[Origin]:
        """Steps of a list, as those of one key inside it; lists without that key drop out."""
        sources = {layer.file: layer.source for layer in self.layers}
        found = []
        for step in steps:
            value = dict(leaves(step.value)).get(keys[length:], self)
            if value is not self:
                place = sources[step.file].place(keys)
                line = step.line if place.line is None else place.line
                found.append(replace(step, value=value, line=line, expression=place.expression))
        return found

    def first_below(self, keys: Keys) -> Origin | None:
        """Where a key, or the first one inside it, was set last."""
        if found := self.of(keys):
            return found[-1]
        below = (steps[-1] for known, steps in self.chain.items() if known[: len(keys)] == keys)
        return next((step for step in below if not step.removed), None)


def read_sources(path: str | Path, options: Mapping[str, Any] | None = None) -> Sources:
    """Read a config and remember which file set what.

    Args:
        path: A config file with text ``_base_`` inheritance (Python, YAML or JSON).
        options: Dotted keys -> values, merged last.

    Raises:
        InputError: The file uses ``read_base()``, or an option does not fit.
    """
    from mmengine.config import Config

    path = Path(path)
    if path.suffix == ".py" and Config._is_lazy_import(str(path)):
        raise InputError(
            f"{path}: a config with read_base() or imports has no _base_ chain to follow; "
            "inherit it as text with _base_."
        )
    found = _read(os.path.abspath(path))
    if options:
        own = nested_options(options)
        layer = Layer(OPTIONS, copy.deepcopy(own), found.config, Source(""))
        found.layers.append(layer)
        try:
            found.config = _merge(found, layer, own, found.config, (), lists=True)
        except (KeyError, TypeError) as error:
            raise InputError(f"{OPTIONS}: {error.args[0]}") from error
    return found


def _read(path: str) -> Sources:
    """One file and its bases, in the steps of ``Config._file2dict``."""
    import mmengine
    from mmengine.config import Config, ConfigDict
    from mmengine.fileio import load

    from attnseg.apis.json_config import read_json_config

    found = Sources(ConfigDict())
    if path.lower().endswith(".json"):
        return _add_file(found, path, read_json_config(path).to_dict())
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "config" + os.path.splitext(path)[1])
        Config._substitute_predefined_vars(path, text)
        Config._substitute_env_variables(text, text)
        variables = Config._pre_substitute_base_vars(text, text)
        for name in Config._get_base_files(text):
            base_path, scope = Config._get_cfg_path(name, path)
            base = _read(os.path.abspath(base_path))
            if shared := found.config.keys() & base.config.keys():
                raise InputError(
                    f"{short_name(path)}: two of its bases set {', '.join(sorted(shared))}; "
                    "let one base inherit the other."
                )
            found.config.update(Config._dict_to_config_dict(base.config, scope))
            found.chain.update(base.chain)
            found.layers += base.layers
        if path.endswith(".py"):
            own = _run(Path(text).read_text(encoding="utf-8"), path, found.config)
        else:
            own = load(text)
    own = {
        k: v for k, v in own.items() if not isinstance(v, (types.FunctionType, types.ModuleType))
    }
    Config._parse_scope(own)
    own.pop(mmengine.config.config.DEPRECATION_KEY, None)
    own = Config._substitute_base_vars(own, variables, found.config)
    own.pop("_base_", None)
    return _add_file(found, path, own)


def _add_file(found: Sources, path: str, own: dict[str, Any]) -> Sources:
    """Merge what a file says itself into its bases."""
    source = Source(Path(path).read_text(encoding="utf-8"))
    layer = Layer(short_name(path), copy.deepcopy(own), found.config, source)
    found.layers.append(layer)
    merged = _merge(found, layer, own, found.config, ())
    found.config = {k: v for k, v in merged.items() if not k.startswith("__")}
    return found


def _run(text: str, path: str, base: Any) -> dict[str, Any]:
    import ast

    from mmengine.config.utils import RemoveAssignFromAST

    names: dict[str, Any] = {"_base_": base}
    tree = RemoveAssignFromAST("_base_").visit(ast.parse(text))
    # As mmengine does: a config is a program.
    eval(compile(tree, path, mode="exec"), names, names)
    return {k: v for k, v in names.items() if k != "_base_" and not k.startswith("__")}


def _merge(
    found: Sources, layer: Layer, own: Any, base: Any, keys: Keys, lists: bool = False
) -> Any:
    """``Config._merge_a_into_b`` with a note of each step in ``found.chain``."""
    from mmengine.config import ConfigDict

    base = base.copy()
    for key, value in own.items():
        inside = (*keys, str(key))
        if lists and key.isdigit() and isinstance(base, list):
            if len(base) <= int(key):
                raise KeyError(
                    f"{'.'.join(inside)}: the list has {len(base)} items, the last is "
                    f"{'.'.join(keys)}.{len(base) - 1}."
                )
            if not isinstance(value, dict):
                # mmengine fails here with an AttributeError.
                raise TypeError(f"{'.'.join(inside)}: name a key of the item, or set the list.")
            base[int(key)] = _merge(found, layer, value, base[int(key)], inside, lists)
        elif not isinstance(value, dict):
            _drop(found, layer, inside, "replaced", below=True)
            _note(found, layer, inside, value)
            base[key] = value
        elif key not in base or value.pop("_delete_", False):
            _drop(found, layer, inside, "_delete_")
            for path, leaf in _own_leaves(value, inside):
                _note(found, layer, path, leaf)
            base[key] = ConfigDict(value)
        elif isinstance(base[key], (dict, list) if lists else dict):
            base[key] = _merge(found, layer, value, base[key], inside, lists)
        else:
            raise TypeError(
                f"{layer.file}: {'.'.join(inside)} is a dict here, but "
                f"{type(base[key]).__name__} in the base; add _delete_=True to replace it."
            )
    return base


def _note(found: Sources, layer: Layer, keys: Keys, value: Any) -> None:
    place = layer.source.place(keys)
    steps = found.chain.get(keys) or next(
        (
            found.items(found.chain[keys[:n]], keys, n)
            for n in range(len(keys) - 1, 0, -1)
            if keys[:n] in found.chain
        ),
        [],
    )
    references = tuple(_reference(found, name) for name in place.references)
    found.chain[keys] = [
        *steps,
        Origin(layer.file, value, place.line, place.expression, references),
    ]


def _reference(found: Sources, name: str) -> str:
    origin = found.first_below(tuple(name.split(".")))
    return f"_base_.{name}" + (f" ({origin.where})" if origin else "")


def _drop(found: Sources, layer: Layer, keys: Keys, how: str, below: bool = False) -> None:
    place: Place | None = None
    for known, steps in list(found.chain.items()):
        if known[: len(keys)] == keys and not (below and known == keys) and not steps[-1].removed:
            place = place or layer.source.place((*keys, "_delete_"))
            step = Origin(layer.file, None, place.line, removed=how)
            found.chain[known] = [*steps, step]


def _own_leaves(value: Any, keys: Keys) -> Iterator[tuple[Keys, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _own_leaves(item, (*keys, str(key)))
    else:
        yield keys, value


def leaves(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Keys of a config and their values; also into lists of dicts, where an index is a key."""
    if isinstance(value, Mapping) and value:
        items: Any = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        items = enumerate(value)
    else:
        yield keys, value
        return
    for key, item in items:
        yield from leaves(item, (*keys, str(key)))


def short_name(path: str | Path) -> str:
    """A config's path below ``configs/``, ``mmdet::...`` for a library's, else the path itself."""
    from attnseg.apis.experiment import config_folders

    path = Path(path).resolve()
    for package in ("attnseg", "mmdet", "mmseg"):
        for folder in map(Path.resolve, config_folders(package)):
            if folder in path.parents:
                name = path.relative_to(folder).as_posix()
                return name if package == "attnseg" else f"{package}::{name}"
    working = Path.cwd().resolve()
    return path.relative_to(working).as_posix() if working in path.parents else str(path)


def nested_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as the dicts that ``Config.merge_from_dict`` makes of them."""
    from mmengine.config import ConfigDict

    nested: dict[str, Any] = {}
    for name, value in options.items():
        inside = nested
        *parents, last = name.split(".")
        for key in parents:
            inside = inside.setdefault(key, ConfigDict())
        inside[last] = value
    return nested
