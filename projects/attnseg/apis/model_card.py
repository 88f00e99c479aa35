"""The model card: what a published model is, and which figures were measured with these weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnseg.file_hash import file_hash
from attnseg.leaderboard.records import Record

_NOT_MEASURED = "Not measured."


def model_card(
    stem: str,
    cfg: Any,
    state: Mapping[str, Any],
    meta: Mapping[str, Any],
    checkpoint: str | Path,
    records: Sequence[Record],
    searched: bool,
) -> str:
    """Write the card, in Markdown.

    A figure stands in it only if the record of a test names this checkpoint by its SHA-256.

    Args:
        stem: Common name of the files.
        cfg: The config.
        state: The weights.
        meta: What the file of the weights says of them.
        checkpoint: The file that they are from.
        records: Where figures are looked for.
        searched: Whether there was a folder to look into.
    """
    known = file_hash(checkpoint)
    tests = [
        record
        for record in records
        if record.mode == "test" and record.get("checkpoint.sha256") == known
    ]
    trained = (meta.get("attnseg") or {}).get("config_hash")
    trainings = [
        record
        for record in records
        if record.mode == "train" and trained and record.get("config.hash") == trained
    ]
    numbers = sum(value.numel() for value in state.values() if value.is_floating_point())
    classes = (meta.get("dataset_meta") or {}).get("classes")
    lines = [
        f"# {stem}",
        "",
        f"- config: `{meta['experiment_name']}`, model `{cfg.model.get('type')}`",
        f"- weights: {numbers:,} numbers in {len(state)} tensors, buffers included",
        f"- classes: {_names(classes)}",
        f"- checkpoint it was made from: sha256 `{known}`",
        f"- published with: {_versions(meta)}",
        "",
        "## Measured",
        "",
    ]
    for record in tests:
        lines += [*_test(record), ""]
    if not tests:
        others = sum(record.mode == "test" for record in records)
        reason = (
            f" The run folder has {others} test(s), of other weights."
            if others
            else " The run folder has no test."
            if searched
            else " No run folder was given."
        )
        lines += [_NOT_MEASURED + reason, ""]
    lines += ["## Training", "", *_training(meta, trainings), ""]
    lines += [
        "## Use",
        "",
        "```bash",
        f"python tools/test.py {stem}.json {stem}.safetensors --data DIR",
        "```",
        "",
        "The weights are tensors and the config is data: neither can run code.",
    ]
    return "\n".join(lines) + "\n"


def _names(classes: Any) -> str:
    return ", ".join(map(str, classes)) if classes else "none are named"


def _versions(meta: Mapping[str, Any]) -> str:
    found = ", ".join(f"{name} {value}" for name, value in meta["versions"].items() if value)
    return f"{found}; {_revision(meta.get('git'))}"


def _revision(git: Any) -> str:
    if not git:
        return "revision unknown"
    return f"revision `{git['revision']}`" + (", with changes" if git.get("dirty") else "")


def _test(record: Record) -> list[str]:
    data = record.get("data") or {}
    lines = [
        f"Test of {record.time}, {_revision(record.get('git'))}"
        + (", with flips (TTA)." if record.get("tta") else "."),
        "",
        f"- data: {data.get('type')}, {data.get('images')} images, annotations "
        f"`{data.get('annotations')}`, hash `{data.get('hash')}`",
        *(f"- evaluator: {_evaluator(item)}" for item in record.evaluators),
        f"- hardware: {_hardware(record)}",
        f"- command: `{record.get('command')}`",
        "",
        "| metric | value | interval |",
        "|---|---|---|",
    ]
    for key, found in record.metrics.items():
        lines.append(f"| {key} | {_number(found.value)} | {_interval(found.low, found.high)} |")
    level = record.get("intervals.level")
    if isinstance(level, (int, float)):
        lines += ["", f"Intervals are of {level:.0%}, by resampling of images."]
    return lines


def _evaluator(item: Mapping[str, Any]) -> str:
    settings = json.dumps(item.get("settings"), sort_keys=True)
    return f"{item.get('type')} (prefix `{item.get('prefix')}`), settings `{settings}`"


def _hardware(record: Record) -> str:
    hardware = record.get("hardware") or {}
    return str(hardware.get("gpu") or hardware.get("cpu") or "unknown")


def _number(value: float) -> str:
    return "undefined" if value != value else f"{value:.6g}"


def _interval(low: float, high: float) -> str:
    return "not measured" if low != low or high != high else f"{low:.6g} to {high:.6g}"


def _training(meta: Mapping[str, Any], trainings: Sequence[Record]) -> list[str]:
    steps = ", ".join(
        f"{name} {meta[name]}" for name in ("epoch", "iter", "seed") if meta.get(name) is not None
    )
    lines = [f"The checkpoint says: {steps}." if steps else "The checkpoint says nothing of it."]
    if not trainings:
        return lines
    record = trainings[-1]
    seconds = record.get("cost.training_seconds")
    time = f"{seconds:.0f} s" if isinstance(seconds, (int, float)) else "not measured"
    return [
        *lines,
        "",
        f"- command: `{record.get('command')}`",
        f"- {_revision(record.get('git'))}",
        f"- hardware: {_hardware(record)}; time in the training loop: {time}",
    ]
