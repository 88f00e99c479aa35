"""A resolved config with the file that set each key: ``tools/print_config.py``."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from attnseg.apis.command import UsageError
from attnseg.apis.config_errors import config_errors
from attnseg.apis.config_sources import Keys, Origin, Sources, leaves, read_sources
from attnseg.apis.config_typos import find_typos
from attnseg.apis.experiment import find_config
from attnseg.apis.options import check_options
from attnseg.compat import setup_env

_WIDTH = 72


def run_show(
    config: str,
    *,
    cfg_options: Mapping[str, Any] | None = None,
    key: str | None = None,
    plain: bool = False,
    as_json: bool = False,
) -> None:
    """Print a config, key by key with its sources, and what looks like a typo.

    Args:
        config: See :func:`attnseg.apis.experiment.find_config`.
        cfg_options: Dotted keys -> values, as of a training.
        key: Only what lies below this dotted key.
        plain: The merged config as Python code, without sources.
        as_json: One JSON object: dotted key -> value and steps, the oldest first.

    Raises:
        UsageError: No such config or key, or an option that no run reads.
    """
    setup_env()
    path = find_config(config)
    with config_errors(path):
        sources = read_sources(path)
        check_options(sources.config, cfg_options or {})
        if cfg_options:
            sources = read_sources(path, cfg_options)
    keys = tuple(key.split(".")) if key else ()
    value = _part(sources.config, keys)
    typos = [typo.message for typo in find_typos(sources)]
    if plain:
        print(_code(value, key))
    elif as_json:
        print(json.dumps(_report(sources, keys, value, typos), indent=2, default=repr))
    else:
        print("\n".join(_lines(sources, keys, value, typos)))


def _part(config: Any, keys: Keys) -> Any:
    """The value at dotted keys; the error names the nearest key there."""
    value = config
    for depth, key in enumerate(keys):
        if isinstance(value, (list, tuple)) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            known = (
                [str(name) for name in value]
                if isinstance(value, Mapping)
                else [str(index) for index in range(len(value))]
                if isinstance(value, (list, tuple))
                else []
            )
            near = difflib.get_close_matches(key, known, n=1)
            listed = ", ".join(known[:12]) or "nothing"
            fix = f"Did you mean {near[0]}?" if near else f"It has {listed}."
            inside = ".".join(keys[:depth]) or "the config"
            raise UsageError(f"--key {'.'.join(keys)}: no '{key}' in {inside}. {fix}")
    return value


def _code(value: Any, key: str | None) -> str:
    from mmengine.config import Config

    name = key.rpartition(".")[2] if key else ""
    name = name if name.isidentifier() else "value"
    shown = dict(value) if key is None else {name: value}
    return str(Config(shown).pretty_text).rstrip()


def _lines(sources: Sources, keys: Keys, value: Any, typos: list[str]) -> Iterator[str]:
    for path, leaf in leaves(value, keys):
        yield f"{'.'.join(path)} = {short(leaf)}"
        steps = _since_removal(sources.of(path))
        if steps:
            yield f"    {_said(steps[-1], path, sources)}"
        for step in steps[-2::-1]:
            yield f"    over {short(step.value)}  {_said(step, path, sources)}"
    for path, steps in sources.removed.items():
        if path[: len(keys)] == keys:
            last = next(step for step in reversed(steps) if not step.removed)
            how = "by _delete_" if steps[-1].removed == "_delete_" else "with what it was in"
            yield f"{'.'.join(path)}: removed {how}, {steps[-1].where}"
            yield f"    was {short(last.value)}  {last.where}"
    yield from (f"warning: {typo}" for typo in typos)


def _since_removal(steps: list[Origin]) -> list[Origin]:
    """Steps after the last removal: what was before has no influence."""
    last = max((n for n, step in enumerate(steps) if step.removed), default=-1)
    return steps[last + 1 :]


def _said(step: Origin, path: Keys, sources: Sources) -> str:
    text = step.where
    if step.expression:
        text += f"  = {step.expression}"
    elif not sources.chain.get(path) and len(path) > 1:
        text += "  (set with the whole list)"
    if step.references:
        text += f"  from {', '.join(step.references)}"
    return text


def _report(sources: Sources, keys: Keys, value: Any, typos: list[str]) -> dict[str, Any]:
    def steps(found: list[Origin]) -> list[dict[str, Any]]:
        return [
            {
                "file": step.file,
                "line": step.line,
                "value": step.value,
                "expression": step.expression or None,
                "from": list(step.references),
                "removed": step.removed or None,
            }
            for step in found
        ]

    return {
        "keys": {
            ".".join(path): {"value": leaf, "steps": steps(sources.of(path))}
            for path, leaf in leaves(value, keys)
        },
        "removed": {
            ".".join(path): steps(found)
            for path, found in sources.removed.items()
            if path[: len(keys)] == keys
        },
        "warnings": typos,
    }


def short(value: Any) -> str:
    """A value in one line of at most 72 characters."""
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
