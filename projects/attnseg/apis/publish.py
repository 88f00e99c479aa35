"""A checkpoint as three files to hand on: weights, config and model card, none of them a program.

``NAME-<hash>.safetensors`` has the weights that a test uses and nothing else of the training;
``NAME-<hash>.json`` the resolved config as data; ``NAME-<hash>.md`` says what was measured.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import attnseg
from attnseg._atomic import create_bytes, to_plain
from attnseg._compat_io import PUBLISHED
from attnseg.apis.command import UsageError, input_errors
from attnseg.apis.experiment import build_config
from attnseg.apis.json_config import config_text
from attnseg.apis.model_card import model_card
from attnseg.leaderboard.records import load_records

_DIGITS = 8
# Of a checkpoint's ``meta``: what a test shows or writes into its record.
_KEPT = ("dataset_meta", "seed", "epoch", "iter", "attnseg")


class Published(NamedTuple):
    """The files of a published model."""

    weights: Path
    config: Path
    card: Path


def publish(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    run: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> Published:
    """Write weights, config and model card of a checkpoint into a folder.

    The hash is that of the weights' file, metadata included. Files that are there already stay if
    they are the same, and end the command before any is written if they are not.

    Args:
        config: See :func:`attnseg.apis.experiment.find_config`.
        checkpoint: What a training left, or other weights that fit the config. Where it averaged
            its weights (EMA), the averages are published: a test uses these.
        out: Folder, made where it is missing.
        run: Folder of runs: the card gets the figures of the tests there that had this checkpoint.
        cfg_options: Dotted keys -> values, which change the config.

    Raises:
        UsageError: The weights do not fit, the config has no JSON form, or another file has the
            name of one of these.
    """
    cfg = build_config(config, checkpoint=checkpoint, cfg_options=cfg_options)
    name, text = Path(cfg.filename).stem, config_text(cfg)
    state, meta = _weights(cfg)
    meta = {"experiment_name": name, **meta, **_origin()}
    data = _pack(state, meta)
    stem = f"{name}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}"
    with input_errors():
        records = [] if run is None else load_records([run])[0]
    card = model_card(stem, cfg, state, meta, checkpoint, records, searched=run is not None)
    folder = Path(out)
    files = Published(*(folder / f"{stem}.{end}" for end in ("safetensors", "json", "md")))
    contents = (data, text.encode(), card.encode())
    for path, content in zip(files, contents, strict=True):
        if path.exists() and path.read_bytes() != content:
            raise UsageError(
                f"{path} exists and is another; it is not written over: remove it, or choose "
                "another folder with --out."
            )
    for path, content in zip(files, contents, strict=True):
        if not path.exists():
            with input_errors(OSError):
                create_bytes(path, content)
    return files


def _weights(cfg: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights as the model has them once they are loaded, and what a test needs of ``meta``."""
    from mmengine.registry import MODELS, init_default_scope

    from attnseg.apis.benchmark_inputs import without_weights
    from attnseg.engine.checkpoint import load_weights

    init_default_scope(cfg.get("default_scope") or "mmengine")
    with input_errors(RuntimeError, KeyError, TypeError):
        model = MODELS.build(without_weights(cfg.model))
        meta = load_weights(model, cfg.load_from).get("meta") or {}
    # Cloned: two names of one tensor would share memory, which safetensors refuses.
    state = {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
    return state, {key: to_plain(meta[key]) for key in _KEPT if meta.get(key) is not None}


def _origin() -> dict[str, Any]:
    from attnseg.engine.provenance import git_state, versions

    return {"versions": versions(), "git": git_state(attnseg.__file__)}


def _pack(state: Mapping[str, Any], meta: Mapping[str, Any]) -> bytes:
    from safetensors.torch import save

    # One key: safetensors writes several in any order, and the hash would change.
    return save(dict(state), {PUBLISHED: json.dumps(meta, sort_keys=True, allow_nan=False)})
