"""Configs as data: a JSON form of a resolved config, and a reader that can run nothing.

A config in Python is a program. A published one is JSON, and JSON alone is not enough: mmengine's
reader follows ``_base_`` into Python files, imports what ``custom_imports`` names and fills in
environment variables, its registries import what a dotted ``type`` names and call it, and some
classes of the stack evaluate or unpickle what they are given. So a JSON config is read here, it may
name only the classes of :mod:`attnseg.apis.json_types`, and once one was read, no registry of the
process imports anything any more.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from attnseg._atomic import write_text
from attnseg.apis.command import UsageError
from attnseg.apis.json_types import SCOPES, is_allowed
from attnseg.apis.registry_lock import lock_registries

TUPLE, FLOAT = "__tuple__", "__float__"
"""Keys of the dicts that stand for what JSON lacks: tuples, which are no lists to mmcv, and
infinities."""

# What belongs to the machine of a training, and to no model.
_OF_THE_RUN = ("work_dir", "load_from", "resume", "launcher")
_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
# mmengine reads them as instructions, or classes of the stack write or delete files there.
_FORBIDDEN = {
    **dict.fromkeys(("_base_", "_delete_", "custom_imports"), "is an instruction to read or run"),
    **dict.fromkeys(
        ("work_dir", "load_from", "resume", "launcher", "out_dir", "out_folder", "save_dir")
        + ("output_dir", "outfile_prefix", "test_out_dir", "format_only", "collect_dir"),
        "says where a run reads or writes files, which is the command line's",
    ),
    **dict.fromkeys(("collate_fn", "worker_init_fn", "runner_type"), "names a function to call"),
}
# mmengine unpickles the first two, and its reader of the others makes any object.
_PROGRAMS = re.compile(r"\.(pkl|pickle|py|pyc|yaml|yml)\s*$", re.IGNORECASE)
_MARKS = (TUPLE, FLOAT)


class JsonConfig(Config):
    """A config that came from JSON and is dumped as JSON, with its tuples."""

    def dump(self, file: str | Path | None = None) -> str | None:
        """Write to a file, as Python where its name ends in ``.py``; None: give the text."""
        if file is not None and str(file).endswith(".py"):
            return super().dump(file)
        text = config_text(self)
        if file is None:
            return text
        write_text(file, text)
        return None


def read_config(path: str | Path) -> Config:
    """Read a config file: JSON as data, all else by mmengine, which runs it."""
    if Path(path).suffix.lower() == ".json":
        return read_json_config(path)
    return Config.fromfile(str(path))


def read_json_config(path: str | Path) -> JsonConfig:
    """Read a config in JSON, without running or importing what it names.

    From then on the registries of this process find only what is registered; see
    :func:`attnseg.apis.registry_lock.lock_registries`.

    Raises:
        UsageError: The file is no JSON object, or holds what a JSON config may not; names the key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, parse_constant=_no_constant)
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, got a {type(content).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a config in JSON ({error}).") from error
    lock_registries()
    try:
        plain = {key: _decode(value, key) for key, value in content.items()}
        check_plain(plain)
    except _Refused as error:
        raise UsageError(
            f"{path}: {error}. A config in JSON is data: name the .py config instead if you trust "
            "its author."
        ) from error
    try:
        return JsonConfig(ConfigDict(plain), cfg_text=text, filename=str(path))
    except KeyError as error:  # mmengine's own names
        raise UsageError(f"{path}: {error.args[0]}.") from error


def config_text(cfg: Any) -> str:
    """The JSON form of a resolved config.

    Left out is what belongs to a run, as ``work_dir`` and ``load_from``.

    Raises:
        UsageError: A value is no plain data, or :func:`read_json_config` would refuse it; names
            the key.
    """
    values = cfg.to_dict() if isinstance(cfg, Config) else dict(cfg)
    kept = {key: value for key, value in values.items() if key not in _OF_THE_RUN}
    try:
        encoded = {key: _encode(value, key) for key, value in kept.items()}
        check_plain(kept)
    except _Refused as error:
        name = getattr(cfg, "filename", None) or "the config"
        raise UsageError(f"{name}: {error}, so it has no JSON form.") from error
    return json.dumps(encoded, indent=2, allow_nan=False) + "\n"


def check_plain(values: Mapping[str, Any]) -> None:
    """Refuse what a config in JSON may not hold.

    Args:
        values: The whole config, decoded.

    Raises:
        ValueError: Names the key and what is wrong with it.
    """
    scope = values.get("default_scope", "mmengine")
    if scope not in SCOPES:
        raise _Refused(f"default_scope {scope!r:.60} is none of {', '.join(SCOPES)}")
    for key, name, value in _walk(values, ""):
        if name in _FORBIDDEN and value is not None:
            raise _Refused(f"'{key}' {_FORBIDDEN[name]}")
        if name == "_scope_" and value not in SCOPES:
            raise _Refused(f"'{key}' is {value!r:.60}, none of {', '.join(SCOPES)}")
        if name == "type" and not is_allowed(value):
            raise _Refused(
                f"'{key}' is {value!r:.80}, none of the classes that a config in JSON may name"
            )
        if isinstance(value, str) and "{{" in value:
            raise _Refused(f"'{key}' holds '{{{{', which mmengine would fill in")
        if isinstance(value, str) and _PROGRAMS.search(value):
            raise _Refused(f"'{key}' names a file that could run code: {value!r:.80}")


class _Refused(ValueError):
    """What is wrong, without the file's name."""


def _walk(value: Any, key: str) -> Iterator[tuple[str, str, Any]]:
    """Dotted key, its last part and the value of everything below."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for name, item in items:
        inside = f"{key}.{name}" if key else str(name)
        yield inside, str(name), item
        if isinstance(item, (Mapping, list, tuple)):
            yield from _walk(item, inside)


def _encode(value: Any, key: str) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {FLOAT: str(value)}
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str) or name in _MARKS:
                raise _Refused(f"'{key}' has the key {name!r:.60}, which is no plain name")
        return {name: _encode(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_encode(item, f"{key}.{index}") for index, item in enumerate(value)]
        return {TUPLE: items} if isinstance(value, tuple) else items
    raise _Refused(
        f"'{key}' is {value!r:.60} of the type {type(value).__name__}: expected a string, a "
        "number, true, false, null, a list, a tuple or a dict (a class by its name)"
    )


def _decode(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [_decode(item, f"{key}.{index}") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if TUPLE in value:
        if len(value) > 1 or not isinstance(value[TUPLE], list):
            raise _Refused(f"'{key}' is no tuple: expected one list under '{TUPLE}'")
        return tuple(_decode(value[TUPLE], key))
    if FLOAT in value:
        if len(value) > 1 or str(value[FLOAT]) not in _FLOATS:
            raise _Refused(f"'{key}' is no number: expected inf, -inf or nan under '{FLOAT}'")
        return _FLOATS[value[FLOAT]]
    return {name: _decode(item, f"{key}.{name}") for name, item in value.items()}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
