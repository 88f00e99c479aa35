"""Runs: what is ranked. A run is one training, given by config, seed and folder."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnseg.leaderboard.records import Record, Value


@dataclass(frozen=True)
class Run:
    """The latest measurement of a run, with what the record of its training adds.

    Attributes:
        record: Latest test record; the train record where the run was never tested.
        training: Latest train record of the same run folder, if there is one.
        replaced: Number of other run folders whose older tests this one stands for.
    """

    record: Record
    training: Record | None = None
    replaced: int = 0

    @property
    def name(self) -> str:
        """Name of the config, and whether views were merged."""
        return self.record.name + (" (TTA)" if self.record.get("tta") else "")

    @property
    def seed(self) -> int | None:
        """Seed of the training; that of the test where the training left no record."""
        if self.training is not None and self.training.seed is not None:
            return self.training.seed
        return self.record.seed

    @property
    def metrics(self) -> dict[str, Value]:
        """Values by full key."""
        return self.record.metrics

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for the members of a seed group.

        What the weights were trained with, and from which weights, counts: a test does not see
        options of the training.
        """
        trained = self.training.get("config.hash") if self.training else None
        trained = trained or self.record.get("checkpoint.config_hash")
        config = self.record.get("config.hash") or self.record.get("config.file")
        init = self.training.get("config.init") if self.training else None
        return (self.name, trained or config, config, init or self.record.get("config.init"))

    def cost(self, key: str) -> float | None:
        """A number of the record's ``cost``."""
        value = self.record.get(f"cost.{key}")
        if value is None and key == "training_seconds" and self.training is not None:
            value = self.training.get("cost.training_seconds")
        return value if isinstance(value, (int, float)) else None


def latest_runs(records: Iterable[Record]) -> list[Run]:
    """Keep the latest measurement of each run.

    A run has one row for each data set and set of evaluators that it was tested with. Two tests of
    the same config and seed are the same run, also with other checkpoints or in other folders: the
    later one counts. Without a seed, runs are told apart by their folders.
    """
    records = list(records)
    trainings = [record for record in records if record.mode == "train"]
    latest: dict[str, Run] = {}
    folders: dict[str, set[str]] = {}
    for mode in ("train", "test"):
        for record in records:
            if record.mode != mode or not record.metrics:
                continue
            run = Run(record, _training_of(record, trainings))
            where = None if run.seed is not None else record.folder
            key = canonical([run.identity, run.seed, where, comparison_key(record)])
            folders.setdefault(key, set()).add(record.folder)
            latest[key] = replace(run, replaced=len(folders[key]) - 1)
    return list(latest.values())


def _training_of(record: Record, trainings: Sequence[Record]) -> Record | None:
    """The latest training in the record's run folder, else in that which its checkpoint names."""
    for same_place in (_same_folder, _same_names):
        found = [other for other in trainings if same_place(record, other)]
        if found:
            return found[-1]
    return None


def _same_folder(test: Record, training: Record) -> bool:
    return test.folder == training.folder


def _same_names(test: Record, training: Record) -> bool:
    # Records that were moved: paths of two machines may be equal by chance, configs are not.
    checkpoint, folder = test.get("checkpoint.file"), training.get("work_dir")
    return (
        bool(checkpoint and folder)
        and os.path.dirname(os.path.normpath(checkpoint)) == os.path.normpath(folder)
        and test.get("config.hash") == training.get("config.hash")
    )


def comparison_key(record: Record, prefixes: Sequence[str | None] | None = None) -> dict[str, Any]:
    """What two runs must share to be ranked in one table.

    Args:
        record: Of the run.
        prefixes: Only the evaluators of these prefixes matter; None for all.
    """
    data = record.get("data") or {}
    key = {
        "split": data.get("split"),
        "annotation hash": data.get("hash"),
        "images": data.get("images"),
        "classes": data.get("classes"),
        "things": data.get("things"),
    }
    if data.get("hash") is None:
        # Without a hash, only names can tell data apart.
        key |= {"data set": data.get("type"), "annotation file": data.get("annotations")}
    key["evaluators"] = sorted(
        (
            {part: evaluator.get(part) for part in ("type", "prefix", "settings", "annotations")}
            for evaluator in record.evaluators
            if prefixes is None or evaluator.get("prefix") in prefixes
        ),
        key=canonical,
    )
    return key


def evaluator_of(record: Record, key: str) -> dict[str, Any] | None:
    """The evaluator that a metric's key belongs to: that of its prefix, else one without."""
    first = key.partition("/")[0]
    by_prefix = {evaluator.get("prefix"): evaluator for evaluator in record.evaluators}
    for prefix in (first, None, ""):
        if prefix in by_prefix:
            return by_prefix[prefix]
    return None


def describe_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Say in which parts two comparison keys differ, down to the setting."""
    found = []
    for key in {**a, **b}:
        if key == "evaluators" or a.get(key) == b.get(key):
            continue
        found.append(f"{key} {_short(a.get(key))} and {_short(b.get(key))}")
    only_a = [e for e in a["evaluators"] if e not in b["evaluators"]]
    only_b = [e for e in b["evaluators"] if e not in a["evaluators"]]
    for left in list(only_a):
        twin = next((e for e in only_b if e.get("type") == left.get("type")), None)
        if twin is not None:
            only_a.remove(left)
            only_b.remove(twin)
            found += _evaluator_differences(left, twin)
    if only_a or only_b:
        only_a, only_b = a["evaluators"], b["evaluators"]
        left, right = (
            " + ".join(str(e.get("type")) for e in x) or "none" for x in (only_a, only_b)
        )
        found.append(f"evaluators {left} and {right}")
    return found


def canonical(value: Any) -> str:
    """Text that is equal for equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def _evaluator_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    name, found = a.get("type"), []
    for key in ("prefix", "annotations"):
        if a.get(key) != b.get(key):
            found.append(f"{name}'s {key} {_short(a.get(key))} and {_short(b.get(key))}")
    settings_a, settings_b = a.get("settings") or {}, b.get("settings") or {}
    for key in {**settings_a, **settings_b}:
        if settings_a.get(key) != settings_b.get(key):
            left, right = _short(settings_a.get(key)), _short(settings_b.get(key))
            found.append(f"{name}'s {key} {left} and {right}")
    return found


def _short(value: Any) -> str:
    if value is None:
        return "unknown"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:12]
    return text if len(text) <= 60 else f"{text[:57]}..."
