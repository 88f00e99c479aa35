"""The options of a sweep: do their keys exist, and how are they written on a command line?"""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.apis.config_typos import find_option_typos
from attnseg.apis.options import EVALUATORS, LOADERS, below, data_roots

_DATA = "data/"


def check_keys(cfg: Any, options: Mapping[str, Any]) -> None:
    """Refuse a dotted key that neither the config has nor the class there takes.

    Args:
        cfg: The config before the options are merged.
        options: Dotted keys -> values.

    Raises:
        UsageError: Names the key, the config and the nearest name.
    """
    for option in options:
        _check_places(cfg, option)
    for typo in find_option_typos(cfg, options):
        right = ".".join([*typo.key.split(".")[:-1], typo.nearest])
        fix = f" Did you mean {right}?" if typo.nearest else ""
        raise UsageError(
            f"{typo.key}: {cfg.filename} has no such key, and its class takes none.{fix}"
        )


def _check_places(cfg: Any, option: str) -> None:
    """Refuse an index that a list does not have."""
    part: Any = cfg
    names = option.split(".")
    for depth, name in enumerate(names):
        if isinstance(part, (list, tuple)):
            if not name.isdigit() or int(name) >= len(part):
                where = ".".join(names[:depth])
                raise UsageError(
                    f"{option}: {where} of {cfg.filename} is a list of {len(part)}: give an "
                    f"index from 0 to {len(part) - 1}."
                )
            part = part[int(name)]
        elif isinstance(part, Mapping) or part is cfg:
            part = part.get(name)
        else:
            return


def moved_data(cfg: Any, folder: str) -> tuple[str | None, dict[str, str]]:
    """What to give a run so that ``folder`` takes the place of the leading ``data/``.

    Returns:
        A value for ``--data`` where all data sets lie in one folder, else None; and options for
        each path where they lie in several.
    """
    folder = folder.rstrip("/") or "/"
    named = cfg.get("data_root")
    roots = {root.rstrip("/") for key in LOADERS for root in data_roots(cfg.get(key))}
    inside = sorted(root for root in roots if root.startswith(_DATA))
    own = named.rstrip("/") if isinstance(named, str) else None
    if not inside:
        return None, {}
    if len(inside) == len(roots) == 1 or (
        own in inside and all(below(root, own) for root in roots)
    ):
        root = inside[0] if len(inside) == 1 else own
        return f"{folder}/{root.removeprefix(_DATA)}", {}
    paths = (
        (path, text)
        for key in (*LOADERS, *EVALUATORS)
        for path, text in _texts(cfg.get(key), key)
        if any(below(text, root) for root in inside)
    )
    return None, {path: f"{folder}/{text.removeprefix(_DATA)}" for path, text in paths}


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{key}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _texts(item, f"{key}.{index}")


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """The words behind ``--cfg-options`` that give these options.

    Raises:
        UsageError: A value cannot be written there, such as a list of dicts.
    """
    from attnseg.apis.config_errors import OptionAction

    flat = dict(pair for key, value in options.items() for pair in _flat(key, value))
    words = [f"{key}={_text(value)}" for key, value in flat.items()]
    parser = ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=OptionAction, default={})
    try:
        read = parser.parse_args(["--cfg-options", *words]).cfg_options if words else {}
    except (AssertionError, ValueError):
        read = {}
    for key, value in flat.items():
        if key not in read or repr(read[key]) != repr(value):
            raise UsageError(
                f"{key}: the value {value!r:.60} cannot be given on a command line; write a leaf "
                "with it, and name the leaf in the axis."
            )
    return words


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A dict is merged key by key, as mmengine merges it."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(f"{key}.{name}", item)
    else:
        yield key, value


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        inner = ",".join(map(_text, value))
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    return str(value)
